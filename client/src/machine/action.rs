//! What the machine asks of its shell, and what it hears back.

use super::{ArtifactInfo, ControlPoint, Deployment, Owed, RebootNeed};

/// What the server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Downloading,
    PauseBeforeInstalling,
    Installing,
    PauseBeforeRebooting,
    Rebooting,
    PauseBeforeCommitting,
    Success,
    Failure,
}

impl Status {
    /// The server's word for it.
    pub fn as_str(self) -> &'static str {
        use rota_rest::device::status;

        match self {
            Self::Downloading => status::DOWNLOADING,
            Self::PauseBeforeInstalling => status::PAUSE_BEFORE_INSTALLING,
            Self::Installing => status::INSTALLING,
            Self::PauseBeforeRebooting => status::PAUSE_BEFORE_REBOOTING,
            Self::Rebooting => status::REBOOTING,
            Self::PauseBeforeCommitting => status::PAUSE_BEFORE_COMMITTING,
            Self::Success => status::SUCCESS,
            Self::Failure => status::FAILURE,
        }
    }
}

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Once: the report is a courtesy.
    No,
    /// With growing pauses, until the budget is used up.
    UntilGivenUp,
    /// Likewise. Once the first try has failed, the update is over for the journal, which notes
    /// what is owed instead: restarts between the tries are no circles of the update's.
    Owing(Owed),
}

/// The states that have state scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptState {
    Idle,
    Sync,
    Download,
    ArtifactInstall,
    ArtifactReboot,
    ArtifactCommit,
    ArtifactRollback,
    ArtifactRollbackReboot,
    ArtifactFailure,
}

impl ScriptState {
    /// The word in the script's file name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Sync => "Sync",
            Self::Download => "Download",
            Self::ArtifactInstall => "ArtifactInstall",
            Self::ArtifactReboot => "ArtifactReboot",
            Self::ArtifactCommit => "ArtifactCommit",
            Self::ArtifactRollback => "ArtifactRollback",
            Self::ArtifactRollbackReboot => "ArtifactRollbackReboot",
            Self::ArtifactFailure => "ArtifactFailure",
        }
    }

    /// Whether the scripts come with the Artifact rather than with the root file system.
    pub fn is_artifact_script(self) -> bool {
        !matches!(self, Self::Idle | Self::Sync | Self::Download)
    }
}

/// When in its state a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptPoint {
    Enter,
    Leave,
    Error,
}

impl ScriptPoint {
    /// The word in the script's file name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "Enter",
            Self::Leave => "Leave",
            Self::Error => "Error",
        }
    }
}

/// The calls of an Update Module that only do something; the questions are actions of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    ArtifactInstall,
    ArtifactReboot,
    ArtifactVerifyReboot,
    ArtifactCommit,
    ArtifactRollback,
    ArtifactRollbackReboot,
    ArtifactVerifyRollbackReboot,
    ArtifactFailure,
    Cleanup,
}

impl Call {
    /// The module's first argument.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ArtifactInstall => "ArtifactInstall",
            Self::ArtifactReboot => "ArtifactReboot",
            Self::ArtifactVerifyReboot => "ArtifactVerifyReboot",
            Self::ArtifactCommit => "ArtifactCommit",
            Self::ArtifactRollback => "ArtifactRollback",
            Self::ArtifactRollbackReboot => "ArtifactRollbackReboot",
            Self::ArtifactVerifyRollbackReboot => "ArtifactVerifyRollbackReboot",
            Self::ArtifactFailure => "ArtifactFailure",
            Self::Cleanup => "Cleanup",
        }
    }
}

/// How the record of what is installed changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftwareChange {
    /// The new name and provides.
    Updated,
    /// The new name, marked inconsistent, and the new provides.
    UpdatedInconsistent,
    /// The new name, marked inconsistent; provides stay as they were.
    NameInconsistent,
}

/// What is due while idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Poll,
    Inventory,
}

/// One thing for the shell to do; each is answered by one [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Wait until something is due: [`Event::Due`].
    Wait,
    /// Tell the server what it has not heard yet of earlier updates: `Done`, whatever it answers.
    Settle,
    /// Ask the server for a deployment: [`Event::Polled`] or `Failed`.
    Poll,
    SendInventory,
    /// `Done`, `Failed`, or [`Event::Aborted`] when the server no longer wants the update.
    Report(Status, Retry),
    RunScripts(ScriptState, ScriptPoint),
    /// Ask the update control maps whether the update may go on here: `Done`, `Failed`,
    /// [`Event::Held`], or `Aborted`.
    AskControl(ControlPoint),
    /// Wait until the update control maps let go: `Done`, `Failed` or `Aborted`.
    Hold(ControlPoint),
    /// Fetch the Artifact up to its payload and check that it fits: [`Event::Opened`] or `Failed`.
    OpenArtifact,
    /// Stream the payload that `OpenArtifact` left open to its module.
    StorePayload,
    CallModule(Call),
    /// `NeedsArtifactReboot`: [`Event::RebootNeed`] or `Failed`.
    AskReboot,
    /// `SupportsRollback`: [`Event::SupportsRollback`] or `Failed`.
    AskRollback,
    /// Restart the system. If the process survives for long, `Failed`.
    RebootSystem,
    /// Forget the device token, so that the new software must prove that it can get one.
    DropToken,
    /// Refuse to commit when the root file system's scripts are of an unknown version.
    CheckScripts,
    /// Write the new software and stage `cleanup` in one journal entry.
    Record(SoftwareChange),
    /// Call the module's `Cleanup` if there is a work tree, then remove the tree.
    Cleanup,
    /// Retried as a report of what is owed is ([`Retry::Owing`]).
    UploadLog,
    /// The update is over: clear it from the journal and note there what the server has not heard
    /// of it, or that it has heard all; remove what is left of it, close its log.
    Forget(Option<Owed>),
    /// A standalone update is over or waits for the operator.
    Finish,
}

/// The outcome of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Done,
    Failed,
    Aborted,
    /// The update must wait.
    Held,
    Due(Task),
    Polled(Option<Deployment>),
    Opened(ArtifactInfo),
    RebootNeed(RebootNeed),
    SupportsRollback(bool),
}
