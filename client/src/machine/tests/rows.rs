//! One row of the table of situations, and what its words mean.

/// What the device says about itself in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Software {
    New,
    Old,
    /// The new name, marked inconsistent; the provides stay as they were.
    Inconsistent,
    /// The new name, marked inconsistent, and the new provides.
    InconsistentNew,
}

/// One situation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) conditions: &'static str,
    calls: &'static str,
    pub(crate) statuses: &'static str,
    pub(crate) software: Software,
}

/// One circumstance of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// What happens at a step, and whether each time or only the first.
    Step {
        name: &'static str,
        mishap: Mishap,
        always: bool,
    },
    NoRollback,
    NoReboot,
    /// The answer to `ProvidePayloadFileSizes`.
    Sizes(&'static str),
    /// The server answers this status with an abort.
    Abort(char),
    /// The server cannot be reached for so many requests from the last report before the commit on.
    Outage(u32),
    /// How often the journal can be written.
    Writes(u32),
    Empty,
    /// The server does not have the Artifact.
    NoDownload,
    WrongDevice,
    ScriptsVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    Fail,
    Hang,
    Junk,
    Cut,
}

pub(super) const fn row(
    number: u32,
    conditions: &'static str,
    calls: &'static str,
    statuses: &'static str,
    software: Software,
) -> Row {
    Row { number, conditions, calls, statuses, software }
}

/// What comes before each update, and is only in the rows that are about it.
const PRELUDE: &str = "Idle> Idle< Sync> Sync< ";

impl Row {
    pub(crate) fn conditions(&self) -> impl Iterator<Item = Condition> + use<> {
        self.conditions.split(", ").filter(|condition| !condition.is_empty()).map(condition)
    }

    /// The steps in order, from the first poll on.
    pub(crate) fn calls(&self) -> String {
        let calls = expand(self.calls);
        if calls.starts_with("Idle>") { calls } else { format!("{PRELUDE}{calls}").trim().into() }
    }

    /// The same row for a module whose reboots are left to the client, which ends with each of
    /// them: `None` where it would be another row.
    pub(crate) fn with_system_reboots(&self) -> Option<String> {
        let same = |condition| match condition {
            // Restarts use up the journal writes that such a row counts.
            Condition::Step { always: true, .. } | Condition::NoReboot | Condition::Writes(_) => {
                false
            }
            Condition::Step { name, .. } => !matches!(name, "AR" | "ARBR"),
            _ => true,
        };
        let reboots = |call: &&str| matches!(*call, "AR" | "ARBR");
        let calls = self.calls();
        let differs = calls.split(' ').any(|call| reboots(&call));
        (differs && self.conditions().all(same))
            .then(|| calls.split(' ').filter(|call| !reboots(call)).collect::<Vec<_>>().join(" "))
    }
}

fn condition(text: &'static str) -> Condition {
    let (always, rest) = match text.strip_prefix("always ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (word, name) = rest.split_once(' ').unwrap_or((rest, ""));
    let step = |mishap| Condition::Step { name, mishap, always };
    let number = || name.parse().expect("a number");
    match word {
        "fail" => step(Mishap::Fail),
        "hang" => step(Mishap::Hang),
        "junk" => step(Mishap::Junk),
        "cut" => step(Mishap::Cut),
        "no-rollback" => Condition::NoRollback,
        "no-reboot" => Condition::NoReboot,
        "sizes" => Condition::Sizes(name),
        "abort" => Condition::Abort(name.chars().next().expect("a status")),
        "outage" => Condition::Outage(number()),
        "writes" => Condition::Writes(number()),
        "empty" => Condition::Empty,
        "no-download" => Condition::NoDownload,
        "wrong-device" => Condition::WrongDevice,
        "scripts-version" => Condition::ScriptsVersion,
        _ => panic!("unknown condition {text:?}"),
    }
}

fn expand(calls: &str) -> String {
    let Some((before, rest)) = calls.split_once('(') else { return calls.to_owned() };
    let (repeated, times) = rest.split_once(")*").expect("(calls)*times, at the end");
    let times = times.parse().expect("a number");
    format!("{before}{}", vec![repeated; times].join(" "))
}
