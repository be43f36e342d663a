//! The points of an update: what is done at each, and what is journaled before.

use super::{
    Action, Call, ControlPoint, FailedPart, Health, Journal, Owed, RebootNeed, Retry, ScriptPoint,
    ScriptState, SoftwareChange, Stage, Status, StopPoint, Update,
};

/// A point in an update. Each has one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    ReportDownloading,
    DownloadEnter,
    OpenArtifact,
    StorePayload,
    DownloadLeave,
    DownloadError,

    AskBeforeInstall,
    PauseBeforeInstall,
    HoldBeforeInstall,
    ReportInstalling,
    InstallEnter,
    Install,
    InstallLeave,
    InstallError,
    AskReboot,

    AskBeforeReboot,
    PauseBeforeReboot,
    HoldBeforeReboot,
    ReportRebooting,
    RebootEnter,
    Reboot,
    VerifyReboot,
    RebootLeave,
    RebootError,

    DropToken,
    /// After a restart in a pause: does the new software still run?
    VerifyHeld,
    AskBeforeCommit,
    PauseBeforeCommit,
    HoldBeforeCommit,
    /// The last thing before the commit: can the new software still talk to the server?
    ConfirmServer,
    CommitEnter,
    CheckScripts,
    Commit,
    CommitLeave,
    CommitError,
    /// Too late to roll back.
    CommitLeaveError,

    /// Standalone: ask before the operator is left to decide.
    AskDecision,
    /// Standalone: wait for the operator's next command.
    StoppedBefore(StopPoint),
    /// Standalone: the operator wants to go back; can the module?
    AskWayBack,

    AskRollback,
    RollbackEnter,
    Rollback,
    RollbackLeave,
    /// As `RollbackLeave`, after the module failed to roll back.
    RollbackLeaveFailed,
    AskRollbackReboot,
    RollbackRebootEnter,
    RollbackReboot,
    VerifyRollbackReboot,
    RollbackRebootLeave,
    RollbackRebootError,

    FailureEnter,
    Failure,
    FailureLeave,

    /// The update goes in circles: leave it, and say so.
    StateLoop,
    Record,
    Cleanup,
    /// As `Cleanup`, while the journal does not hold yet what is installed: room is made first.
    CleanupUnrecorded,
    RecordAgain,
    /// Standalone: record that the cleanup failed.
    RecordCleanupFailure,
    ReportOutcome,
    UploadLog,
    Forget(Option<Owed>),
    Finish,
}

impl Phase {
    /// What to journal before the action, and whether the action depends on it.
    pub(super) fn journal(self, update: &Update) -> Option<(Stage, Journal)> {
        Some(match self {
            // A failure on the way back must outlive the reboot.
            Self::RollbackReboot if update.health == Health::RollbackFailed => {
                (Stage::RollbackReboot, Journal::Attempt)
            }
            Self::DownloadEnter | Self::StorePayload => (Stage::UpdateStore, Journal::Required),
            Self::PauseBeforeInstall => (Stage::PauseInstall, Journal::Attempt),
            Self::PauseBeforeReboot => (Stage::PauseReboot, Journal::Attempt),
            Self::PauseBeforeCommit => (Stage::PauseCommit, Journal::Attempt),
            Self::InstallEnter => (Stage::UpdateInstall, Journal::Required),
            Self::RebootEnter => (Stage::Reboot, Journal::Required),
            Self::VerifyReboot => (Stage::AfterReboot, Journal::Required),
            Self::CommitEnter => (Stage::UpdateCommit, Journal::Required),
            Self::CommitLeave => (Stage::UpdateAfterCommit, Journal::Required),
            Self::StoppedBefore(point) => (point.stage(), stop(point)),
            Self::RollbackEnter => (Stage::Rollback, Journal::Attempt),
            Self::RollbackRebootEnter => (Stage::RollbackReboot, Journal::Attempt),
            Self::VerifyRollbackReboot => (Stage::AfterRollbackReboot, Journal::Attempt),
            Self::FailureEnter => (Stage::UpdateError, Journal::Attempt),
            Self::Cleanup => (Stage::Cleanup, Journal::Attempt),
            // After a restart there may be nothing left to fail at: the server must not hear of
            // a success then.
            Self::ReportOutcome if update.failed_part == Some(FailedPart::Cleanup) => {
                (Stage::Cleanup, Journal::Attempt)
            }
            _ => return None,
        })
    }

    pub(super) fn action(self, update: &Update) -> Action {
        use ScriptPoint::{Enter, Error, Leave};
        use ScriptState as S;

        match self {
            Self::ReportDownloading => Action::Report(Status::Downloading, Retry::No),
            Self::DownloadEnter => Action::RunScripts(S::Download, Enter),
            Self::OpenArtifact => Action::OpenArtifact,
            Self::StorePayload => Action::StorePayload,
            Self::DownloadLeave => Action::RunScripts(S::Download, Leave),
            Self::DownloadError => Action::RunScripts(S::Download, Error),

            Self::AskBeforeInstall => Action::AskControl(ControlPoint::Install),
            Self::PauseBeforeInstall => pause(Status::PauseBeforeInstalling),
            Self::HoldBeforeInstall => Action::Hold(ControlPoint::Install),
            Self::ReportInstalling => Action::Report(Status::Installing, Retry::No),
            Self::InstallEnter => Action::RunScripts(S::ArtifactInstall, Enter),
            Self::Install => Action::CallModule(Call::ArtifactInstall),
            Self::InstallLeave => Action::RunScripts(S::ArtifactInstall, Leave),
            Self::InstallError => Action::RunScripts(S::ArtifactInstall, Error),
            Self::AskReboot | Self::AskRollbackReboot => Action::AskReboot,

            Self::AskBeforeReboot => Action::AskControl(ControlPoint::Reboot),
            Self::PauseBeforeReboot => pause(Status::PauseBeforeRebooting),
            Self::HoldBeforeReboot => Action::Hold(ControlPoint::Reboot),
            Self::ReportRebooting => Action::Report(Status::Rebooting, Retry::No),
            Self::RebootEnter => Action::RunScripts(S::ArtifactReboot, Enter),
            Self::Reboot => reboot(update.reboot, Call::ArtifactReboot),
            Self::VerifyReboot | Self::VerifyHeld => Action::CallModule(Call::ArtifactVerifyReboot),
            Self::RebootLeave => Action::RunScripts(S::ArtifactReboot, Leave),
            Self::RebootError => Action::RunScripts(S::ArtifactReboot, Error),

            Self::DropToken => Action::DropToken,
            Self::AskBeforeCommit => Action::AskControl(ControlPoint::Commit),
            Self::PauseBeforeCommit => pause(Status::PauseBeforeCommitting),
            Self::HoldBeforeCommit => Action::Hold(ControlPoint::Commit),
            Self::ConfirmServer => Action::Report(Status::Installing, Retry::UntilGivenUp),
            Self::CommitEnter => Action::RunScripts(S::ArtifactCommit, Enter),
            Self::CheckScripts => Action::CheckScripts,
            Self::Commit => Action::CallModule(Call::ArtifactCommit),
            Self::CommitLeave => Action::RunScripts(S::ArtifactCommit, Leave),
            Self::CommitError | Self::CommitLeaveError => {
                Action::RunScripts(S::ArtifactCommit, Error)
            }

            Self::AskDecision | Self::AskWayBack | Self::AskRollback => Action::AskRollback,
            Self::RollbackEnter => Action::RunScripts(S::ArtifactRollback, Enter),
            Self::Rollback => Action::CallModule(Call::ArtifactRollback),
            Self::RollbackLeave | Self::RollbackLeaveFailed => {
                Action::RunScripts(S::ArtifactRollback, Leave)
            }
            Self::RollbackRebootEnter => Action::RunScripts(S::ArtifactRollbackReboot, Enter),
            Self::RollbackReboot => reboot(update.reboot, Call::ArtifactRollbackReboot),
            Self::VerifyRollbackReboot => Action::CallModule(Call::ArtifactVerifyRollbackReboot),
            Self::RollbackRebootLeave => Action::RunScripts(S::ArtifactRollbackReboot, Leave),
            Self::RollbackRebootError => Action::RunScripts(S::ArtifactRollbackReboot, Error),

            Self::FailureEnter => Action::RunScripts(S::ArtifactFailure, Enter),
            Self::Failure => Action::CallModule(Call::ArtifactFailure),
            Self::FailureLeave => Action::RunScripts(S::ArtifactFailure, Leave),

            Self::StateLoop => Action::Record(SoftwareChange::UpdatedInconsistent),
            Self::Record | Self::RecordAgain | Self::RecordCleanupFailure => {
                Action::Record(software_change(update))
            }
            Self::Cleanup | Self::CleanupUnrecorded => Action::Cleanup,
            Self::ReportOutcome => report_outcome(update.health),
            Self::UploadLog => Action::UploadLog,
            Self::Forget(owed) => Action::Forget(owed),
            Self::StoppedBefore(_) | Self::Finish => Action::Finish,
        }
    }
}

/// An update that cannot be found again must not wait; where an older entry leads to the same point,
/// it can.
fn stop(before: StopPoint) -> Journal {
    match before {
        StopPoint::InstallEnter | StopPoint::CommitEnter | StopPoint::CommitLeave => {
            Journal::Required
        }
        StopPoint::RollbackEnter | StopPoint::FailureEnter | StopPoint::Cleanup => Journal::Attempt,
    }
}

fn pause(status: Status) -> Action {
    Action::Report(status, Retry::No)
}

/// `Module` as well as `No`: the question is only asked again after a rollback, and a module that
/// answers `No` there is never sent to a reboot.
fn reboot(need: RebootNeed, call: Call) -> Action {
    match need {
        RebootNeed::System => Action::RebootSystem,
        RebootNeed::Module | RebootNeed::No => Action::CallModule(call),
    }
}

/// A deployment that failed names what it left behind but claims none of its provides; an operator
/// who installs by hand sees those too.
fn software_change(update: &Update) -> SoftwareChange {
    if !update.health.is_inconsistent() {
        SoftwareChange::Updated
    } else if update.committed || update.is_standalone() {
        SoftwareChange::UpdatedInconsistent
    } else {
        SoftwareChange::NameInconsistent
    }
}

fn report_outcome(health: Health) -> Action {
    let (status, owed) = if health.is_failure() {
        (Status::Failure, Owed::Failure)
    } else {
        (Status::Success, Owed::Success)
    };
    Action::Report(status, Retry::Owing(owed))
}
