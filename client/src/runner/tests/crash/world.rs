//! The imagined world, as the runner touches it, and the operator who types commands in it.

use std::{io, rc::Rc, time::Duration};

use rota_rest::device::{Attribute, LogMessage};
use serde_json::{Value, json};

use super::{
    outside::name,
    payload::{self, Failed, begin},
    run::{Folder, Run, is_idle},
    scenario::{Held, Image, Payload, Wish},
    steps::Step,
};
use crate::{
    clock::{Clock, Moment},
    config::Settings,
    inventory::InventoryError,
    journal::{Damage, Journal, JournalError, Store, volatile::Volatile},
    log::{DeploymentLogs, Level, Log},
    machine::{
        ArtifactInfo, Call, Deployment, DeploymentId, RebootNeed, Refusal, ScriptPoint,
        ScriptState, Stage, Status, StopPoint, Task, Update, Wishes,
    },
    modules::{InstallError, Installer, Source},
    power::Power,
    process::{Mark, ProcessError},
    records::{Records, Software},
    runner::{Ended, Inventory, Runner, World},
    scripts::{ScriptError, Scripts},
    server::{Server, ServerError},
    wake::Stopped,
};

/// A daemon that has not ended its update by then never will.
const LIFE: Duration = Duration::from_hours(12);

/// A server that hears late hears nothing for so long after a start: longer than a report is
/// retried.
const DEAF: Duration = Duration::from_hours(1);

/// Plays every part but the journal's.
struct Part(Rc<Run>);

/// The journal of one process. It is the real one: only its disk is imagined.
struct Recorded {
    run: Rc<Run>,
    journal: Journal<Volatile<Folder>>,
}

/// Runs the daemon until its update is over or it is told to stop.
pub(super) fn run_daemon(run: &Rc<Run>) -> Result<(), String> {
    with_runner(run, |runner| match runner.run_daemon() {
        Ok(Ended::Stopped) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// What an operator does, whatever is found: installs, restarts the system if that was changed,
/// decides as wished, and goes on with what was interrupted.
pub(super) fn operate(run: &Rc<Run>) -> Result<(), String> {
    let update = run.outside.borrow().records().update;
    let has_begun = !run.outside.borrow().calls.is_empty();
    let ended = match update {
        None if has_begun && !run.outside.borrow().runs_what_it_boots() => run.reboot(),
        None if has_begun => return Ok(()),
        None => {
            let wishes = wishes(run, None);
            with_runner(run, |runner| runner.install(Box::new(io::empty()), wishes))
        }
        Some(update) => take_on(run, update).map_err(|refusal| refusal.to_string())?,
    };
    match ended {
        Ended::Stopped => Ok(()),
        // Whoever changes the system knows when to restart it.
        _ if run.scenario.payload == Payload::System => {
            run.point();
            run.reboot()
        }
        Ended::Finished(_) | Ended::StoppedBefore(..) => operate(run),
    }
}

fn take_on(run: &Rc<Run>, update: Update) -> Result<Ended, Refusal> {
    let is_kept = run.scenario.wish == Wish::InstallAndCommit;
    let wishes = wishes(run, Some(update.stage));
    with_runner(run, |runner| match update.stage {
        Stage::BeforeCommit if is_kept => runner.commit(update, wishes),
        Stage::BeforeCommit => runner.roll_back(update, wishes),
        _ => Ok(runner.resume(update, wishes)),
    })
}

/// A command that goes on from where another stopped does not stop there again.
fn wishes(run: &Rc<Run>, stage: Option<Stage>) -> Wishes {
    let stopped_before = stage.and_then(|stage| match stage {
        Stage::BeforeInstall => Some(StopPoint::InstallEnter),
        Stage::BeforeCommit => Some(StopPoint::CommitEnter),
        Stage::BeforeCommitLeave => Some(StopPoint::CommitLeave),
        Stage::Rollback => Some(StopPoint::RollbackEnter),
        Stage::UpdateError => Some(StopPoint::FailureEnter),
        Stage::Cleanup => Some(StopPoint::Cleanup),
        _ => None,
    });
    let points = run.scenario.stop_before.iter().copied();
    let stop_before = points.filter(|point| Some(*point) != stopped_before).collect();
    Wishes { stop_before, ..Wishes::default() }
}

fn with_runner<T>(run: &Rc<Run>, use_runner: impl FnOnce(&mut Runner<'_>) -> T) -> T {
    let part = || Part(run.clone());
    let world = World {
        store: &mut Recorded::new(run),
        server: &mut part(),
        installer: &mut part(),
        scripts: &mut part(),
        inventory: &mut part(),
        power: &mut part(),
        clock: &part(),
        logs: &DeploymentLogs::new("/nonexistent"),
        mark: &Mark::without_programs(),
        log: &Log::new(Level::Error, Box::new(io::sink())),
    };
    use_runner(&mut Runner::new(&Settings::default(), world))
}

impl Recorded {
    fn new(run: &Rc<Run>) -> Self {
        let folder = Folder::new(run, |outside| &mut outside.journal);
        Self { run: run.clone(), journal: Journal::new(Volatile(folder), "the device") }
    }
}

impl Part {
    /// What comes of a step, unless the client was told to stop meanwhile.
    fn outcome<T>(&self, step: Step, outcome: Result<T, Failed>) -> Result<T, InstallError> {
        self.check()?;
        self.0.took(step, outcome.is_ok());
        outcome.map_err(|Failed| {
            let source = ProcessError::Failed { program: "module".to_owned(), code: 1 };
            InstallError::Call { call: "a call", source }
        })
    }

    /// What comes of a question to the module.
    fn answer<T>(&self, question: Step, name: &'static str, answer: T) -> Result<T, InstallError> {
        begin(&self.0, name);
        let answer = if self.0.scenario.fails(question) { Err(Failed) } else { Ok(answer) };
        self.outcome(question, answer)
    }

    /// What comes of scripts.
    fn script(&self, step: Step) -> Result<(), ScriptError> {
        self.0.point();
        self.check()?;
        let fails = self.0.scenario.fails(step);
        self.0.took(step, !fails);
        if !fails {
            return Ok(());
        }
        Err(ScriptError::Run(ProcessError::Failed { program: "script".to_owned(), code: 1 }))
    }

    /// Whether what runs can talk to the server.
    fn is_mute(&self) -> bool {
        let outside = self.0.outside.borrow();
        self.0.scenario.image == Image::Mute
            && outside.running(Payload::System) == Some(outside.wanted)
    }
}

const UNREACHABLE: ServerError = ServerError::Busy { status: 503, retry_after: None };

fn is_end(status: Status) -> bool {
    matches!(status, Status::Success | Status::Failure)
}

fn is_pause(status: Status) -> bool {
    matches!(
        status,
        Status::PauseBeforeInstalling
            | Status::PauseBeforeRebooting
            | Status::PauseBeforeCommitting
    )
}

impl Store for Recorded {
    fn read(&self) -> Result<Records, JournalError> {
        self.journal.read()
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let mut will_be_idle = false;
        let outcome = self.journal.change(&mut |records| {
            change(records);
            will_be_idle = is_idle(records);
        });
        if outcome.is_ok() {
            self.run.is_idle.set(will_be_idle);
        }
        self.run.point();
        outcome
    }

    fn claim_update(&mut self) -> Result<bool, JournalError> {
        Ok(true)
    }

    fn release_update(&mut self) {}

    fn take_damage(&mut self) -> Vec<Damage> {
        let damage = self.journal.take_damage();
        assert_eq!(damage, [], "no power cut damages a file");
        damage
    }
}

impl Installer for Part {
    fn open(&mut self, _: Source, _: &Software) -> Result<ArtifactInfo, InstallError> {
        self.outcome(Step::Open, payload::unpack(&self.0))?;
        let name = name(self.0.outside.borrow().wanted);
        let is_empty = self.0.scenario.payload == Payload::Empty;
        Ok(ArtifactInfo {
            provides: [("version".to_owned(), name.clone())].into(),
            name,
            payload_type: (!is_empty).then(|| "imagined".to_owned()),
            ..ArtifactInfo::default()
        })
    }

    fn store(&mut self) -> Result<(), InstallError> {
        self.outcome(Step::Store, payload::download(&self.0))
    }

    fn call(&mut self, _: &str, call: Call) -> Result<(), InstallError> {
        self.outcome(Step::Module(call), payload::call(&self.0, call))
    }

    fn needs_reboot(&mut self, _: &str) -> Result<RebootNeed, InstallError> {
        let need = match self.0.scenario.payload {
            Payload::System => RebootNeed::System,
            Payload::Service => RebootNeed::Module,
            Payload::File | Payload::FileForGood | Payload::Empty => RebootNeed::No,
        };
        self.answer(Step::NeedsReboot, "NeedsArtifactReboot", need)
    }

    fn supports_rollback(&mut self, _: &str) -> Result<bool, InstallError> {
        let answer = self.0.scenario.payload != Payload::FileForGood;
        self.answer(Step::SupportsRollback, "SupportsRollback", answer)
    }

    fn clean_up(&mut self, payload_type: Option<&str>) -> Result<(), InstallError> {
        if self.0.outside.borrow().tree.names().next().is_none() {
            return Ok(());
        }
        let outcome = match payload_type {
            Some(payload_type) => self.call(payload_type, Call::Cleanup),
            None => Ok(()),
        };
        if !matches!(outcome, Err(InstallError::Stopped(_))) {
            self.discard();
        }
        outcome
    }

    /// The whole tree goes at once, and may come back at once.
    fn discard(&mut self) {
        self.0.change(|outside| {
            let tree = std::mem::take(&mut outside.tree);
            if tree.names().next().is_some() {
                outside.removed_tree = Some(tree);
            }
        });
        self.0.point();
    }
}

impl Server for Part {
    fn poll(&mut self, _: &Software) -> Result<Option<Deployment>, ServerError> {
        self.0.point();
        if self.is_mute() {
            return Err(UNREACHABLE);
        }
        let outside = self.0.outside.borrow();
        if outside.is_told() {
            return Ok(None);
        }
        let id = DeploymentId::try_from(name(outside.wanted)).unwrap();
        Ok(Some(Deployment { id, uri: "https://rota.example".to_owned() }))
    }

    fn report(&mut self, _: &DeploymentId, status: Status) -> Result<(), ServerError> {
        self.0.point();
        let scenario = self.0.scenario;
        if self.is_mute() || (scenario.hears_late && is_end(status) && self.now() < DEAF) {
            return Err(UNREACHABLE);
        }
        let is_wanted = self.0.change(|outside| outside.tell(status, &scenario));
        self.0.point();
        let is_lost = scenario.loses_answers
            && self.0.change(|outside| {
                let is_first = !outside.lost_answers.contains(&status);
                outside.lost_answers.push(status);
                outside.lost_answers.dedup();
                is_first
            });
        if is_lost {
            return Err(UNREACHABLE);
        }
        if is_wanted { Ok(()) } else { Err(ServerError::Aborted) }
    }

    fn control_map(&mut self, id: &DeploymentId) -> Result<Option<Value>, ServerError> {
        self.0.point();
        let (point, is_abandoned) = match self.0.scenario.held {
            Held::Never => return Ok(None),
            Held::ForAWhile(point) => (point, false),
            Held::Abandoned(point) => (point, true),
        };
        let has_paused = self.0.outside.borrow().told.iter().any(|status| is_pause(*status));
        if self.is_mute() || (is_abandoned && has_paused) {
            return Err(UNREACHABLE);
        }
        let action = if has_paused { "force_continue" } else { "pause" };
        let states = json!({ point.as_str(): { "action": action } });
        Ok(Some(json!({ "id": id.as_str(), "priority": 1, "states": states })))
    }

    fn upload_log(&mut self, _: &DeploymentId, _: Vec<LogMessage>) -> Result<(), ServerError> {
        self.0.point();
        Ok(())
    }

    fn send_inventory(&mut self, _: Vec<Attribute>) -> Result<(), ServerError> {
        Ok(())
    }

    fn download(&mut self, _: &Deployment, _: &Software) -> Result<Source, ServerError> {
        self.0.point();
        Ok(Box::new(io::empty()))
    }

    fn drop_token(&mut self) {}
}

impl Scripts for Part {
    fn run(&mut self, state: ScriptState, point: ScriptPoint) -> Result<(), ScriptError> {
        self.script(Step::Script(state, point))
    }

    fn check_version(&mut self) -> Result<(), ScriptError> {
        self.script(Step::CheckScripts)
    }
}

impl Inventory for Part {
    fn collect(&mut self) -> Result<Vec<Attribute>, InventoryError> {
        Ok(Vec::new())
    }
}

impl Power for Part {
    fn reboot(&mut self) -> Result<(), ProcessError> {
        self.0.point();
        self.0.reboot()
    }
}

impl Clock for Part {
    fn now(&self) -> Duration {
        self.0.now.get()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.0.now.set(self.0.now.get() + duration);
        self.check()
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.sleep(duration).map(|()| None)
    }

    fn moment(&self) -> Moment {
        Moment { boot: self.0.outside.borrow().boots.to_string(), uptime: self.now() }
    }

    /// The daemon ends with its update, or when it is told to.
    fn check(&self) -> Result<(), Stopped> {
        let is_deployed = self.0.scenario.wish == Wish::Deploy;
        let is_over = is_deployed && (self.0.is_over() || self.now() >= LIFE);
        if self.0.is_stopped.get() || is_over { Err(Stopped) } else { Ok(()) }
    }
}
