//! A device in a folder whose Update Module and state scripts are one shell script that does what
//! its folder says: note its name, and then succeed, fail, hang, or take the power with it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use rota_artifact::Builder;
use tempfile::TempDir;

use super::{
    super::{Ended, Runner, World},
    surroundings::{Fuse, Outside, Surroundings, until_the_power_goes},
};
use crate::{
    config::Settings,
    journal::{FileStore, Store},
    log::{DeploymentLogs, Level, Log},
    machine::{
        RebootNeed, ScriptPoint, ScriptState,
        tests::rows::{Condition, Mishap, Row},
    },
    modules::{ModuleSettings, UpdateModules},
    payloads::{ContainerSettings, RootfsSettings},
    process::Mark,
    records::Software,
    scripts::{ScriptTimes, StateScripts},
    wake::Wake,
};

const PROVIDE: &str = "rootfs-image.test.version";

const SCRIPT: &str = r#"#!/bin/sh
cd '@' || exit 1
step=${0##*/}
[ "$step" = test ] && step=$1
echo "$step" >> calls
case $step in
ArtifactInstall)
    echo new > installed
    [ -e bad-version ] && echo bogus > rootfs/version ;;
ArtifactRollback)
    echo old > installed
    rm -f rootfs/version ;;
esac
if [ -e "plan/$step" ]; then
    read -r mishap times < "plan/$step"
    [ "$times" = always ] || rm "plan/$step"
    case $mishap in
    Fail) echo "$step was told to fail" >&2; exit 1 ;;
    Hang) sleep 600 ;;
    Junk) echo Yes; echo Yes ;;
    Cut) echo 'POWER CUT' >&2; exec sleep 600 ;;
    esac
fi
[ -e "answers/$step" ] || exit 0
read -r answer < "answers/$step"
echo "$answer"
"#;

const STATES: [(ScriptState, &str); 9] = [
    (ScriptState::Idle, "Idle"),
    (ScriptState::Sync, "Sync"),
    (ScriptState::Download, "DL"),
    (ScriptState::ArtifactInstall, "AI"),
    (ScriptState::ArtifactReboot, "AR"),
    (ScriptState::ArtifactCommit, "AC"),
    (ScriptState::ArtifactRollback, "ARB"),
    (ScriptState::ArtifactRollbackReboot, "ARBR"),
    (ScriptState::ArtifactFailure, "AF"),
];

const POINTS: [(ScriptPoint, &str); 3] =
    [(ScriptPoint::Enter, ">"), (ScriptPoint::Leave, "<"), (ScriptPoint::Error, "!")];

/// The calls of a module, as the table and as the protocol call them.
const CALLS: [(&str, &str); 14] = [
    ("PPFS", "ProvidePayloadFileSizes"),
    ("DL", "Download"),
    ("DLFS", "DownloadWithFileSizes"),
    ("AI", "ArtifactInstall"),
    ("AR", "ArtifactReboot"),
    ("AVR", "ArtifactVerifyReboot"),
    ("AC", "ArtifactCommit"),
    ("ARB", "ArtifactRollback"),
    ("ARBR", "ArtifactRollbackReboot"),
    ("AVRBR", "ArtifactVerifyRollbackReboot"),
    ("AF", "ArtifactFailure"),
    ("CL", "Cleanup"),
    // Questions, which the table does not show.
    ("NeedsArtifactReboot", "NeedsArtifactReboot"),
    ("SupportsRollback", "SupportsRollback"),
];

/// All steps that the table can name, with the names of the executables.
fn steps() -> impl Iterator<Item = (String, String)> {
    let scripts = STATES.into_iter().flat_map(|(state, short)| {
        POINTS.map(|(point, mark)| (format!("{short}{mark}"), script_name(state, point)))
    });
    scripts.chain(CALLS.map(|(short, long)| (short.to_owned(), long.to_owned())))
}

fn script_name(state: ScriptState, point: ScriptPoint) -> String {
    format!("{}_{}_00", state.as_str(), point.as_str())
}

/// Long enough for a program on a busy machine that does not hang.
const LIMIT: Duration = Duration::from_mins(5);
const SHORT_LIMIT: Duration = Duration::from_secs(3);

pub(super) struct Device {
    folder: TempDir,
    module_limit: Duration,
    outside: Rc<Outside>,
}

impl Device {
    /// A device on which the old software runs, and what the row says is to happen.
    pub(super) fn new(row: &Row, reboot: RebootNeed) -> Self {
        let folder = folder();
        let outside = Outside::new(folder.path());
        let mut device = Self { folder, module_limit: LIMIT, outside: Rc::new(outside) };
        for folder in ["modules", "rootfs", "data/logs", "later", "answers"] {
            fs::create_dir_all(device.path(folder)).unwrap();
        }
        device.write("installed", "old\n");
        device.write("device_type", "device_type=board\n");
        device.answer("SupportsRollback", "Yes");
        device.answer(
            "NeedsArtifactReboot",
            match reboot {
                RebootNeed::System => "Automatic",
                RebootNeed::Module | RebootNeed::No => "Yes",
            },
        );
        let old = Software {
            artifact_name: "old".to_owned(),
            artifact_group: None,
            provides: [(PROVIDE, "old"), ("rootfs-image.version", "1")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        };
        device.store().change(&mut |records| records.software = Some(old.clone())).unwrap();
        device.add_programs();
        let mut builder = Builder::module_image("test", "new").file_bytes("content", "new");
        let (mut device_type, mut has_artifact) = ("board", true);
        for condition in row.conditions() {
            match condition {
                Condition::Step { name, mishap, always } => {
                    device
                        .plan(name, &format!("{mishap:?} {}", if always { "always" } else { "" }));
                    if mishap == Mishap::Hang {
                        device.module_limit = SHORT_LIMIT;
                    }
                }
                Condition::NoRollback => device.answer("SupportsRollback", "No"),
                Condition::NoReboot => device.answer("NeedsArtifactReboot", "No"),
                Condition::Sizes(answer) => device.answer("ProvidePayloadFileSizes", answer),
                Condition::Abort(status) => device.outside.abort_at.set(Some(status)),
                Condition::Outage(requests) => device.outside.outage.set(requests),
                Condition::Writes(writes) => device.outside.writes.set(writes),
                Condition::Empty => {
                    builder = Builder::bootstrap("new").clears_provides("nothing");
                    builder = builder.provides(PROVIDE, "new");
                }
                Condition::NoDownload => has_artifact = false,
                Condition::WrongDevice => device_type = "other",
                Condition::ScriptsVersion => device.write("bad-version", ""),
            }
        }
        if !row.conditions().any(|condition| condition == Condition::Empty) {
            for (state, _) in STATES.into_iter().filter(|(state, _)| state.is_artifact_script()) {
                for (point, _) in POINTS {
                    builder = builder.script(script_name(state, point), device.script());
                }
            }
        }
        let artifact = has_artifact.then(|| builder.device_type(device_type).to_vec().unwrap());
        *device.outside.artifact.borrow_mut() = artifact;
        device
    }

    fn add_programs(&self) {
        let mut programs = vec!["modules/test".to_owned()];
        for (state, _) in STATES.into_iter().filter(|(state, _)| !state.is_artifact_script()) {
            programs
                .extend(POINTS.map(|(point, _)| format!("rootfs/{}", script_name(state, point))));
        }
        for program in programs {
            self.write(&program, &self.script());
            fs::set_permissions(self.path(&program), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn script(&self) -> String {
        SCRIPT.replace('@', &self.folder.path().display().to_string())
    }

    fn answer(&self, question: &str, answer: &str) {
        self.write(&format!("answers/{question}"), &format!("{answer}\n"));
    }

    fn plan(&self, step: &str, mishap: &str) {
        let (_, program) = steps().find(|(short, _)| short == step).expect("a known step");
        self.write(&format!("later/{program}"), &format!("{mishap}\n"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn store(&self) -> FileStore {
        FileStore::new(self.path("data"))
    }

    /// Runs the daemon, again after each time that the power went, until the update is over.
    pub(super) fn run(&mut self) -> Result<(), String> {
        const PATIENCE: u32 = 40;
        for _ in 0..PATIENCE {
            match until_the_power_goes(|| self.start()) {
                Some(Ok(Ended::Stopped)) => return Ok(()),
                Some(other) => return Err(format!("{other:?}")),
                None => {}
            }
        }
        Err("no end".to_owned())
    }

    /// All that the client consists of, built from what is on the disk.
    fn start(&self) -> Result<Ended, crate::journal::JournalError> {
        let (wake, data) = (Wake::default(), self.path("data"));
        let log = Log::new(Level::Info, Box::new(Fuse(wake.clone())));
        let mark = Mark::new(&data);
        let modules = ModuleSettings {
            modules: self.path("modules"),
            work_tree: data.join("payloads/0000/tree"),
            artifact_scripts: data.join("scripts"),
            device_type_file: self.path("device_type"),
            verify_keys: None,
            downgrade_protection: Vec::new(),
            mark: mark.clone(),
            limit: self.module_limit,
            rootfs: RootfsSettings::default(),
            containers: ContainerSettings::default(),
        };
        let scripts = StateScripts {
            rootfs_folder: self.path("rootfs"),
            artifact_folder: modules.artifact_scripts.clone(),
            times: ScriptTimes { limit: LIMIT, retry_interval: LIMIT, retry_limit: LIMIT },
            mark: mark.clone(),
            wake: wake.clone(),
            log: log.clone(),
        };
        let installer = UpdateModules::new(modules, wake.clone(), log.clone());
        let fake = || Surroundings::new((), &self.outside, &wake);
        let world = World {
            store: &mut Surroundings::new(self.store(), &self.outside, &wake),
            server: &mut fake(),
            installer: &mut Surroundings::new(installer, &self.outside, &wake),
            scripts: &mut Surroundings::new(scripts, &self.outside, &wake),
            inventory: &mut fake(),
            power: &mut fake(),
            clock: &fake(),
            logs: &DeploymentLogs::new(data.join("logs")),
            mark: &mark,
            log: &log,
        };
        Runner::new(&Settings::default(), world).run_daemon()
    }

    /// The steps that ran, in the words of the table.
    pub(super) fn calls(&self) -> String {
        let names: Vec<_> = steps().collect();
        let calls = self.read("calls");
        let shown = calls.lines().filter(|step| !is_question(step)).map(|step| {
            let known = names.iter().find(|(_, long)| long == step);
            known.map_or(step, |(short, _)| short)
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn statuses(&self) -> String {
        self.outside.statuses.borrow().clone()
    }

    /// The name of the software and the version that it provides.
    pub(super) fn software(&self) -> (String, String) {
        let mut software = self.store().read().unwrap().software();
        (software.artifact_name, software.provides.remove(PROVIDE).unwrap_or_default())
    }

    /// What runs in truth.
    pub(super) fn installed(&self) -> String {
        self.read("installed").trim().to_owned()
    }
}

fn is_question(step: &str) -> bool {
    matches!(step, "NeedsArtifactReboot" | "SupportsRollback")
}

/// In memory where that can be had: the programs that run here are many and small, and nothing of
/// this outlives the test.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}
