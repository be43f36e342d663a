//! Updates that an operator starts by hand: the commands that take them on, where they may be told
//! to stop, and what each has come to.
//!
//! An update by hand never reboots and reports to nobody. Each command takes it from where the
//! journal says it stands to its end, to the question whether to keep it, or to a point where the
//! command was told to stop.

use super::{FailedPart, Health, Origin, Phase, Stage, Transition, Update, route};

/// A point before which an operator can stop an update by hand; the names are those of Mender's
/// client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopPoint {
    InstallEnter,
    CommitEnter,
    CommitLeave,
    RollbackEnter,
    FailureEnter,
    Cleanup,
}

impl StopPoint {
    /// Every point, in the order of an update.
    pub const ALL: [Self; 6] = [
        Self::InstallEnter,
        Self::CommitEnter,
        Self::CommitLeave,
        Self::RollbackEnter,
        Self::FailureEnter,
        Self::Cleanup,
    ];

    /// The state's name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstallEnter => "ArtifactInstall_Enter",
            Self::CommitEnter => "ArtifactCommit_Enter",
            Self::CommitLeave => "ArtifactCommit_Leave",
            Self::RollbackEnter => "ArtifactRollback_Enter",
            Self::FailureEnter => "ArtifactFailure_Enter",
            Self::Cleanup => "Cleanup",
        }
    }

    /// The point of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.as_str() == name)
    }

    /// What the journal says of an update that stands before this point. The first three differ
    /// from the stage behind the point: what was begun there and broke off may not simply run
    /// again.
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::InstallEnter => Stage::BeforeInstall,
            Self::CommitEnter => Stage::BeforeCommit,
            Self::CommitLeave => Stage::BeforeCommitLeave,
            Self::RollbackEnter => Stage::Rollback,
            Self::FailureEnter => Stage::UpdateError,
            Self::Cleanup => Stage::Cleanup,
        }
    }

    fn at(phase: Phase) -> Option<Self> {
        Some(match phase {
            Phase::InstallEnter => Self::InstallEnter,
            Phase::CommitEnter => Self::CommitEnter,
            Phase::CommitLeave => Self::CommitLeave,
            Phase::RollbackEnter => Self::RollbackEnter,
            Phase::FailureEnter => Self::FailureEnter,
            Phase::Cleanup => Self::Cleanup,
            _ => return None,
        })
    }
}

/// What an operator's command wants besides its own meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Stop before the first of these that is reached.
    pub stop_before: Vec<StopPoint>,
    /// Tells the programs that this command starts from those of all others.
    pub run: Option<String>,
}

/// One thing that a command has come to. What an operator is told, and whether the command was a
/// success, follows from the list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// The payload was taken in.
    Streamed,
    StreamingFailed,
    /// There is no payload, so nothing is to be decided.
    EmptyPayload,
    Installed,
    InstallationFailed,
    /// The Update Module cannot roll back, so nothing is to be decided.
    CommittedAtOnce,
    Committed,
    CommittingFailed,
    RolledBack,
    RollbackFailed,
    /// A rollback was needed or asked for, but the Update Module cannot do it.
    NoRollback,
    CleanedUp,
    CleanupFailed,
}

impl Milestone {
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            Self::StreamingFailed
                | Self::InstallationFailed
                | Self::CommittingFailed
                | Self::RollbackFailed
                | Self::NoRollback
                | Self::CleanupFailed
        )
    }
}

/// A command does not go with where the update stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the update is not installed; use resume to go on with it, or rollback to drop it")]
    NotInstalled,
    #[error("the update is being taken back; use resume or rollback to finish that")]
    RollingBack,
    #[error("the update is committed and cannot be rolled back; use resume to finish it")]
    TooLate,
}

/// The first transition of an update by hand. Other than for the daemon, an Artifact that is not
/// for this device is refused before any script runs.
pub fn install_standalone(wishes: Wishes) -> Transition {
    route::enter(Phase::OpenArtifact, begin(Update::new(Origin::Standalone), wishes))
}

/// Takes an update by hand on from where it stands. What broke off while something was changed has
/// failed; what may run twice runs again.
pub fn resume_standalone(update: Update, wishes: Wishes) -> Transition {
    let mut update = begin(update, wishes);
    let phase = match update.stage {
        Stage::UpdateStore => {
            update.fail_untouched(FailedPart::Download);
            Phase::Cleanup
        }
        Stage::BeforeInstall => Phase::InstallEnter,
        Stage::BeforeCommit => Phase::CommitEnter,
        Stage::UpdateCommit => broken_off(&mut update, FailedPart::Commit),
        Stage::BeforeCommitLeave | Stage::UpdateAfterCommit => Phase::CommitLeave,
        Stage::Rollback => Phase::RollbackEnter,
        Stage::UpdateError => Phase::FailureEnter,
        Stage::Cleanup => Phase::Cleanup,
        // Pauses and reboots are never entered by hand.
        Stage::UpdateInstall
        | Stage::Reboot
        | Stage::AfterReboot
        | Stage::PauseInstall
        | Stage::PauseReboot
        | Stage::PauseCommit
        | Stage::RebootRefused
        | Stage::RollbackReboot
        | Stage::AfterRollbackReboot
        | Stage::Unknown => broken_off(&mut update, FailedPart::Install),
    };
    route::enter(phase, update)
}

/// Takes an update by hand on: it is to be kept.
pub fn commit_standalone(update: Update, wishes: Wishes) -> Result<Transition, Refusal> {
    let phase = match update.stage {
        Stage::BeforeCommit | Stage::UpdateCommit => Phase::CommitEnter,
        Stage::BeforeCommitLeave | Stage::UpdateAfterCommit => Phase::CommitLeave,
        Stage::Cleanup if !update.health.is_failure() => Phase::Cleanup,
        Stage::Rollback | Stage::UpdateError | Stage::Cleanup => return Err(Refusal::RollingBack),
        _ => return Err(Refusal::NotInstalled),
    };
    Ok(route::enter(phase, begin(update, wishes)))
}

/// Takes an update by hand on: it is to be taken back.
pub fn roll_back_standalone(update: Update, wishes: Wishes) -> Result<Transition, Refusal> {
    let mut update = begin(update, wishes);
    let phase = match update.stage {
        Stage::UpdateStore | Stage::BeforeInstall => {
            update.health = Health::RolledBack;
            update.reach(Milestone::RolledBack);
            Phase::Cleanup
        }
        Stage::Rollback => Phase::RollbackEnter,
        Stage::UpdateError => Phase::FailureEnter,
        Stage::Cleanup if update.health.is_failure() => Phase::Cleanup,
        Stage::Cleanup => return Err(Refusal::TooLate),
        _ => Phase::AskWayBack,
    };
    Ok(route::enter(phase, update))
}

/// What was begun counts as failed, unless something else had failed before.
fn broken_off(update: &mut Update, part: FailedPart) -> Phase {
    let health = update.health;
    update.fail(part);
    if health.is_failure() {
        update.health = health;
    }
    Phase::AskRollback
}

fn begin(mut update: Update, wishes: Wishes) -> Update {
    update.run = wishes.run;
    update.stop_before = wishes.stop_before;
    update.milestones.clear();
    update
}

/// Replaces a phase by a stop, if the operator wants one there.
pub(super) fn stop_at(phase: Phase, update: &mut Update) -> Phase {
    let phase = match StopPoint::at(phase) {
        Some(point) if update.stop_before.contains(&point) => Phase::StoppedBefore(point),
        _ => phase,
    };
    if matches!(phase, Phase::StoppedBefore(_)) {
        // Whatever still runs was not interrupted, and is left alone by the next command.
        update.run = None;
    }
    phase
}
