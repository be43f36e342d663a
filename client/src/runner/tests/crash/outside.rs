//! All that outlives the client's process.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use super::{
    scenario::{End, Image, Payload, Scenario, Wish},
    steps::Step,
};
use crate::{
    journal::{
        Journal,
        volatile::{Choose, Files, Reach, Volatile},
    },
    machine::{Call, Status},
    records::{INCONSISTENT_SUFFIX, Records},
};

/// Counts deployments; the device begins with 0, and deployment `n` brings version `n`.
pub(super) type Version = u8;

/// What a system partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Partition {
    Garbage,
    System(Version, Image),
}

/// The bootloader's variables. Each change is whole and durable, as their redundant storage makes
/// sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct BootEnvironment {
    /// What to boot.
    pub(super) partition: usize,
    /// The next boot is a trial, and the one after it goes back.
    pub(super) is_trial: bool,
    pub(super) has_tried: bool,
}

/// One world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outside {
    pub(super) journal: Files,
    /// The module's work tree.
    pub(super) tree: Files,
    /// A tree that was removed, and that a power cut may bring back.
    pub(super) removed_tree: Option<Files>,
    /// The folder of the file that is replaced.
    pub(super) application: Files,
    /// As programs see them, and as they are on the disk.
    pub(super) partitions: [(Partition, Partition); 2],
    pub(super) boot: BootEnvironment,
    pub(super) running: usize,
    pub(super) is_brick: bool,
    /// Starts of the device.
    pub(super) boots: u8,
    /// The deployment that is offered, or the update that the operator wants.
    pub(super) wanted: Version,
    /// The reports about it that arrived.
    pub(super) told: Vec<Status>,
    pub(super) lost_answers: Vec<Status>,
    pub(super) is_aborted: bool,
    /// What was called for it, how often, and the last of it.
    pub(super) calls: BTreeMap<&'static str, u32>,
    pub(super) last_call: usize,
    /// A rule of the protocol was broken.
    pub(super) offence: Option<String>,
}

/// The order in which a module's calls come; none comes after a later one.
const ORDER: [&str; 9] = [
    "Download",
    "ArtifactInstall",
    "ArtifactReboot",
    "ArtifactVerifyReboot",
    "ArtifactCommit",
    "ArtifactRollback",
    "ArtifactVerifyRollbackReboot",
    "ArtifactFailure",
    "Cleanup",
];

/// Those that run once at most.
const ONCE: [&str; 5] =
    ["Download", "ArtifactInstall", "ArtifactReboot", "ArtifactVerifyReboot", "ArtifactCommit"];

pub(super) fn name(version: Version) -> String {
    format!("v{version}")
}

impl Outside {
    /// A device on which version 0 runs, and that is to have version 1.
    pub(super) fn new() -> Self {
        let partition = Partition::System(0, Image::Good);
        Self {
            journal: Files::default(),
            tree: Files::default(),
            removed_tree: None,
            application: Files::default(),
            partitions: [(partition, partition), (Partition::Garbage, Partition::Garbage)],
            boot: BootEnvironment { partition: 0, is_trial: false, has_tried: false },
            running: 0,
            is_brick: false,
            boots: 0,
            wanted: 1,
            told: Vec::new(),
            lost_answers: Vec::new(),
            is_aborted: false,
            calls: BTreeMap::new(),
            last_call: 0,
            offence: None,
        }
    }

    /// Somebody wants yet another version.
    pub(super) fn want_next(&mut self) {
        self.wanted += 1;
        self.told.clear();
        self.lost_answers.clear();
        self.is_aborted = false;
        self.calls.clear();
        self.last_call = 0;
    }

    /// Notes a call of the module.
    pub(super) fn called(&mut self, call: &'static str) {
        let times = self.calls.entry(call).or_default();
        *times += 1;
        if *times > 1 && ONCE.contains(&call) {
            self.offence.get_or_insert(format!("{call} ran twice"));
        }
        // Questions may come at any time.
        let Some(place) = ORDER.iter().position(|known| *known == call) else { return };
        if place < self.last_call {
            let last = ORDER[self.last_call];
            self.offence.get_or_insert(format!("{call} came after {last}"));
        }
        self.last_call = place;
    }

    /// The server hears how far the update is; `false` if it no longer wants it.
    pub(super) fn tell(&mut self, status: Status, scenario: &Scenario) -> bool {
        self.is_aborted |= scenario.abort_at == Some(status);
        if self.told.last() != Some(&status) {
            self.told.push(status);
        }
        !self.is_aborted
    }

    pub(super) fn is_told(&self) -> bool {
        !self.told_ends().is_empty()
    }

    /// How the server heard that the update ended.
    pub(super) fn told_ends(&self) -> Vec<Status> {
        let told = self.told.iter().copied();
        told.filter(|status| matches!(status, Status::Success | Status::Failure)).collect()
    }

    /// The system goes down in good order, and comes up.
    pub(super) fn reboot(&mut self) {
        self.journal.sync_all();
        self.tree.sync_all();
        self.application.sync_all();
        self.removed_tree = None;
        for (seen, durable) in &mut self.partitions {
            *durable = *seen;
        }
        self.start();
    }

    /// The power goes, and comes back.
    pub(super) fn cut(&mut self, chance: &mut dyn Choose) {
        self.journal.cut(chance);
        self.tree.cut(chance);
        self.application.cut(chance);
        if let Some(tree) = self.removed_tree.take()
            && chance.choose(2) == 1
        {
            self.tree = tree;
        }
        for (seen, durable) in &mut self.partitions {
            if seen != durable && chance.choose(2) == 1 {
                *durable = *seen;
            }
            *seen = *durable;
        }
        self.start();
    }

    /// What the bootloader does: a trial is tried once; a system that does not come up is reset by
    /// the watchdog.
    fn start(&mut self) {
        self.boots = self.boots.wrapping_add(1);
        for _ in 0..3 {
            let boot = &mut self.boot;
            if boot.is_trial && boot.has_tried {
                *boot = BootEnvironment {
                    partition: 1 - boot.partition,
                    is_trial: false,
                    has_tried: false,
                };
            }
            boot.has_tried = boot.is_trial;
            let system = self.partitions[boot.partition].1;
            if matches!(system, Partition::System(_, Image::Good | Image::Mute)) {
                self.running = boot.partition;
                return;
            }
        }
        self.is_brick = true;
    }

    pub(super) fn runs_what_it_boots(&self) -> bool {
        self.running == self.boot.partition
    }

    /// The version that runs, of what `payload` replaces.
    pub(super) fn running(&self, payload: Payload) -> Option<Version> {
        match payload {
            Payload::System => match self.partitions[self.running].0 {
                Partition::System(version, _) => Some(version),
                Partition::Garbage => None,
            },
            // It runs what the records say: there is nothing else to it.
            Payload::Empty => {
                let software = self.records().software().artifact_name;
                Some(software.strip_prefix('v').and_then(|v| v.parse().ok()).unwrap_or(0))
            }
            Payload::File | Payload::Service | Payload::FileForGood => {
                match self.application.read(FILE) {
                    None => Some(0),
                    Some(content) => content.first().copied(),
                }
            }
        }
    }

    pub(super) fn records(&self) -> Records {
        let still = Still(Rc::new(RefCell::new(self.journal.clone())));
        let journal = Journal::new(Volatile(still), "the device");
        journal.read().unwrap_or_default()
    }

    /// Holds the world against what must be when no update is under way: how did this one end?
    pub(super) fn check(&self, scenario: &Scenario) -> Result<End, String> {
        let (new, records) = (self.wanted, self.records());
        let running = self.running(scenario.payload);
        let software = records.software().artifact_name;
        if let Some(offence) = &self.offence {
            return Err(offence.clone());
        }
        if self.is_brick {
            return Err("it does not boot".to_owned());
        }
        if let Some(update) = &records.update {
            return Err(format!("the update is not over: {update:?}"));
        }
        if !records.owed.is_empty() || !records.controls.is_empty() {
            return Err(format!("something is left: {:?}, {:?}", records.owed, records.controls));
        }
        let end = if software == format!("{}{INCONSISTENT_SUFFIX}", name(new)) {
            End::Inconsistent
        } else if software == name(new) && running == Some(new) && !self.boot.is_trial {
            End::New
        } else if software != name(new) && running.is_some_and(|old| software == recorded(old)) {
            End::Old
        } else {
            return Err(format!("it runs {running:?}, and the records say {software}"));
        };
        if end == End::Old && self.boot.is_trial {
            return Err("the next boot leads to software that was given up".to_owned());
        }
        let told = self.told_ends();
        let is_true = match (scenario.wish, end) {
            (Wish::InstallAndCommit | Wish::InstallAndRollBack, _) => told.is_empty(),
            // The new software counts as failed, but for one who finds nothing to clean up again.
            (Wish::Deploy, End::New) if scenario.fails(Step::Module(Call::Cleanup)) => {
                told.len() == 1
            }
            (Wish::Deploy, End::New) => told == [Status::Success],
            (Wish::Deploy, End::Old | End::Inconsistent) => told == [Status::Failure],
        };
        if !is_true {
            return Err(format!("it ended {end:?}, and the server was told {:?}", self.told));
        }
        if end != scenario.end && !scenario.other_ends.contains(&end) {
            return Err(format!("it ended {end:?}"));
        }
        Ok(end)
    }

    /// The same number for worlds of the same future, but for when it counts how often the client
    /// was restarted.
    pub(super) fn key(&self, entries: &mut Entries) -> u64 {
        let mut same = self.clone();
        if !entries.hold_controls(self) {
            // Nothing else is compared with the start of the device.
            same.boots = 0;
        }
        if self.journal.is_synced() {
            // The files are but ways to the newest entry; no other is ever read again.
            same.journal = Files::default();
            same.offence = Some(entries.newest(&self.journal));
        } else {
            same.journal.replace_contents(|content| entries.read(content).1.into());
            same.journal.renumber();
        }
        same.tree.renumber();
        same.application.renumber();
        same.calls.retain(|call, _| ONCE.contains(call));
        let mut hasher = DefaultHasher::new();
        same.hash(&mut hasher);
        hasher.finish()
    }
}

/// The name that the first records give to a version.
fn recorded(version: Version) -> String {
    if version == 0 { crate::records::UNKNOWN_ARTIFACT.to_owned() } else { name(version) }
}

/// The file that is replaced.
pub(super) const FILE: &str = "application";

/// Entries of the journal: how new they are, and what they say apart from counting. There are far
/// fewer of them than worlds.
#[derive(Default)]
pub(super) struct Entries {
    read: HashMap<Vec<u8>, (u64, String)>,
    /// By all files of the journal.
    controls: HashMap<Files, bool>,
}

impl Entries {
    /// Whether anything may hold updates, as the client reads it.
    fn hold_controls(&mut self, outside: &Outside) -> bool {
        if let Some(known) = self.controls.get(&outside.journal) {
            return *known;
        }
        let holds = !outside.records().controls.is_empty();
        self.controls.insert(outside.journal.clone(), holds);
        holds
    }

    fn read(&mut self, content: &[u8]) -> (u64, String) {
        if let Some(known) = self.read.get(content) {
            return known.clone();
        }
        let json = content.split(|byte| *byte == b'\n').nth(1).unwrap_or_default();
        let entry = match serde_json::from_slice::<serde_json::Value>(json) {
            Ok(mut entry) => {
                let sequence = entry["sequence"].take().as_u64().unwrap_or_default();
                if let Some(saves) = entry.pointer_mut("/records/update/saves") {
                    *saves = 0.into();
                }
                // Neighbours stay apart.
                (sequence, format!("{} {entry}", sequence % 2))
            }
            Err(_) => (0, String::new()),
        };
        self.read.insert(content.to_owned(), entry.clone());
        entry
    }

    fn newest(&mut self, files: &Files) -> String {
        let entries = files.names().map(|name| self.read(files.read(name).unwrap_or_default()));
        let newest = entries.max_by_key(|(sequence, _)| *sequence);
        newest
            .map(|(_, text)| {
                text.split_once(' ').map(|(_, text)| text.to_owned()).unwrap_or_default()
            })
            .unwrap_or_default()
    }
}

/// A folder at rest.
#[derive(Clone)]
struct Still(Rc<RefCell<Files>>);

impl Reach for Still {
    fn with<T>(&self, use_files: impl FnOnce(&mut Files) -> T) -> T {
        use_files(&mut self.0.borrow_mut())
    }

    fn operate(&self) -> std::io::Result<()> {
        Ok(())
    }
}
