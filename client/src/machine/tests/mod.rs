//! The machine in a scripted world: what it runs, what it reports, what it leaves behind.

mod control;
mod matrix;
mod owed;
mod random;
pub(crate) mod rows;
mod standalone;
mod sync;
pub(crate) mod table;
mod taken_over;

use super::*;
use rows::Software;

/// A device on which named things fail, and which loses power at named things.
#[expect(clippy::struct_excessive_bools, reason = "each is one circumstance of a test")]
pub(super) struct World {
    /// Things that fail: `(name, how often)`.
    pub(super) fail: Vec<(&'static str, u32)>,
    /// Things at which the power is cut: `(name, how often)`.
    pub(super) cut: Vec<(&'static str, u32)>,
    /// The status at which the server answers that it has aborted the deployment.
    pub(super) abort_at: Option<char>,
    pub(super) rollback: bool,
    pub(super) reboot: RebootNeed,
    pub(super) empty: bool,
    /// How many journal writes succeed.
    pub(super) writes: u32,
    /// What fails to be written once.
    pub(super) unwritable: Option<&'static str>,
    /// What control maps say when they are asked, and what they say in the end; elsewhere nothing.
    pub(super) control: Vec<(ControlPoint, Event, Event)>,
    /// Whether the daemon is started again after a power cut.
    pub(super) recovers: bool,
    /// The download call of a module that wants to know the sizes.
    pub(super) wants_sizes: bool,

    pub(super) calls: Vec<String>,
    pub(super) statuses: String,
    pub(super) software: Software,
    pub(super) journal: Option<Update>,
    pub(super) owed: Option<Owed>,
    tree: bool,
    is_over: bool,
}

pub(super) const ALWAYS: u32 = u32::MAX;

impl Default for World {
    fn default() -> Self {
        Self {
            fail: Vec::new(),
            cut: Vec::new(),
            abort_at: None,
            rollback: true,
            reboot: RebootNeed::Module,
            empty: false,
            writes: u32::MAX,
            unwritable: None,
            control: Vec::new(),
            recovers: true,
            wants_sizes: false,
            calls: Vec::new(),
            statuses: String::new(),
            software: Software::Old,
            journal: None,
            owed: None,
            tree: false,
            is_over: false,
        }
    }
}

pub(super) fn deployment() -> Deployment {
    let id = DeploymentId::try_from("d1".to_owned()).unwrap();
    Deployment { id, uri: "https://rota.example/artifact".to_owned() }
}

enum Outcome {
    Event(Event),
    PowerCut,
    End,
}

impl World {
    /// Runs one deployment to its end, through every power cut.
    pub(super) fn deploy(&mut self) {
        self.run(start());
    }

    pub(super) fn run(&mut self, first: Transition) -> Option<Update> {
        let mut next = first;
        for _ in 0..2_000 {
            let Transition { mut state, journal, action } = next;
            let saved = self.save(&state, journal);
            if !saved {
                state.set_unsaved();
            }
            let outcome = if journal == Journal::Required && !saved {
                Outcome::Event(Event::Failed)
            } else {
                self.act(&state, action)
            };
            next = match outcome {
                Outcome::Event(event) => step(state, event),
                Outcome::PowerCut if !self.recovers => return None,
                Outcome::PowerCut => self.journal.clone().map_or_else(start, recover),
                Outcome::End => {
                    let State::Update { update, .. } = state else { return None };
                    return Some(*update);
                }
            };
        }
        panic!("no end after {:?}", self.calls);
    }

    fn save(&mut self, state: &State, journal: Journal) -> bool {
        if journal == Journal::No {
            return true;
        }
        let State::Update { update, .. } = state else { panic!("nothing to journal") };
        self.write(|world| world.journal = Some((**update).clone()))
    }

    fn write(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let possible = self.writes > 0;
        if possible {
            self.writes -= 1;
            change(self);
        }
        possible
    }

    /// Notes that `name` is run, and says how it ends.
    fn call(&mut self, name: &str) -> Outcome {
        self.calls.push(name.to_owned());
        self.quietly(name)
    }

    fn quietly(&mut self, name: &str) -> Outcome {
        let mut take = |list: fn(&mut Self) -> &mut Vec<(&'static str, u32)>| {
            let entry = list(self).iter_mut().find(|(n, left)| *n == name && *left > 0);
            entry.map(|(_, left)| *left -= 1).is_some()
        };
        if take(|world| &mut world.cut) {
            Outcome::PowerCut
        } else if take(|world| &mut world.fail) {
            Outcome::Event(Event::Failed)
        } else {
            Outcome::Event(Event::Done)
        }
    }

    fn act(&mut self, state: &State, action: Action) -> Outcome {
        match action {
            Action::RunScripts(script, point) => {
                let mark = match point {
                    ScriptPoint::Enter => '>',
                    ScriptPoint::Leave => '<',
                    ScriptPoint::Error => '!',
                };
                if self.is_over {
                    return Outcome::End;
                }
                self.call(&format!("{}{mark}", short(script)))
            }
            Action::CallModule(call) => self.call(short_call(call)),
            Action::Report(status, retry) => self.report(status, retry),
            Action::OpenArtifact => match self.quietly("open") {
                Outcome::Event(Event::Done) => {
                    self.tree = !self.empty;
                    Outcome::Event(Event::Opened(ArtifactInfo {
                        name: "new".to_owned(),
                        payload_type: (!self.empty).then(|| "test-module".to_owned()),
                        ..ArtifactInfo::default()
                    }))
                }
                other => other,
            },
            Action::StorePayload => match self.call("PPFS") {
                Outcome::Event(Event::Done) => {
                    self.call(if self.wants_sizes { "DLFS" } else { "DL" })
                }
                other => other,
            },
            Action::AskReboot => match self.quietly("NeedsArtifactReboot") {
                Outcome::Event(Event::Done) => Outcome::Event(Event::RebootNeed(self.reboot)),
                other => other,
            },
            Action::AskRollback => match self.quietly("SupportsRollback") {
                Outcome::Event(Event::Done) => {
                    Outcome::Event(Event::SupportsRollback(self.rollback))
                }
                other => other,
            },
            Action::RebootSystem => match self.quietly("reboot") {
                Outcome::Event(Event::Failed) => Outcome::Event(Event::Failed),
                _ => Outcome::PowerCut,
            },
            Action::Cleanup if !self.tree => Outcome::Event(Event::Done),
            Action::Cleanup => {
                let outcome = self.call("CL");
                self.tree = matches!(outcome, Outcome::PowerCut);
                outcome
            }
            Action::Record(change) => {
                let saved = self.unwritable.take().is_none()
                    && self.write(|world| {
                        world.software = match change {
                            SoftwareChange::Updated => Software::New,
                            SoftwareChange::UpdatedInconsistent => Software::InconsistentNew,
                            SoftwareChange::NameInconsistent => Software::Inconsistent,
                        };
                        if let State::Update { update, .. } = state {
                            let update = Update { stage: Stage::Cleanup, ..(**update).clone() };
                            world.journal = Some(update);
                        }
                    });
                Outcome::Event(if saved { Event::Done } else { Event::Failed })
            }
            Action::Forget(owed) => {
                self.owed = owed;
                self.journal = None;
                self.tree = false;
                self.is_over = true;
                Outcome::Event(Event::Done)
            }
            Action::Finish => Outcome::End,
            Action::CheckScripts => self.quietly("scripts-version"),
            Action::Wait => Outcome::Event(Event::Due(Task::Poll)),
            Action::Poll => Outcome::Event(Event::Polled(Some(deployment()))),
            Action::AskControl(point) => self.control(point, "ask", |(_, asked, _)| asked),
            Action::Hold(point) => self.control(point, "hold", |(_, _, end)| end),
            Action::UploadLog => self.quietly("log"),
            Action::DropToken | Action::Settle | Action::SendInventory => {
                Outcome::Event(Event::Done)
            }
        }
    }

    fn control(
        &mut self,
        point: ControlPoint,
        name: &str,
        answer: impl Fn(&(ControlPoint, Event, Event)) -> &Event,
    ) -> Outcome {
        let said =
            self.control.iter().find(|(at, ..)| *at == point).map(|said| answer(said).clone());
        match self.quietly(&format!("{name} {}", point.as_str())) {
            Outcome::Event(Event::Done) => Outcome::Event(said.unwrap_or(Event::Done)),
            other => other,
        }
    }

    fn report(&mut self, status: Status, retry: Retry) -> Outcome {
        let letter = match status {
            Status::Downloading => 'D',
            Status::PauseBeforeInstalling => 'i',
            Status::PauseBeforeRebooting => 'r',
            Status::PauseBeforeCommitting => 'c',
            Status::Installing => 'I',
            Status::Rebooting => 'R',
            Status::Success => 'S',
            Status::Failure => 'F',
        };
        if self.abort_at == Some(letter) {
            self.statuses.push(letter);
            return Outcome::Event(Event::Aborted);
        }
        let name = match (status, retry) {
            (Status::Success | Status::Failure, _) => "outcome",
            (_, Retry::UntilGivenUp | Retry::Owing(_)) => "report-for-sure",
            (_, Retry::No) => "report",
        };
        let outcome = self.quietly(name);
        if matches!(outcome, Outcome::Event(Event::Done)) {
            self.statuses.push(letter);
        }
        outcome
    }
}

fn short(state: ScriptState) -> &'static str {
    match state {
        ScriptState::Idle => "Idle",
        ScriptState::Sync => "Sync",
        ScriptState::Download => "DL",
        ScriptState::ArtifactInstall => "AI",
        ScriptState::ArtifactReboot => "AR",
        ScriptState::ArtifactCommit => "AC",
        ScriptState::ArtifactRollback => "ARB",
        ScriptState::ArtifactRollbackReboot => "ARBR",
        ScriptState::ArtifactFailure => "AF",
    }
}

fn short_call(call: Call) -> &'static str {
    match call {
        Call::ArtifactInstall => "AI",
        Call::ArtifactReboot => "AR",
        Call::ArtifactVerifyReboot => "AVR",
        Call::ArtifactCommit => "AC",
        Call::ArtifactRollback => "ARB",
        Call::ArtifactRollbackReboot => "ARBR",
        Call::ArtifactVerifyRollbackReboot => "AVRBR",
        Call::ArtifactFailure => "AF",
        Call::Cleanup => "CL",
    }
}
