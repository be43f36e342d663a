//! The device's update machine: from a state and an event to the next state and one action.
//!
//! It is pure: no files, no network, no clock. The shell ([`crate::runner`]) carries each action
//! out and answers with exactly one event. When a [`Transition`] says so, the shell journals the
//! update *before* it acts, so a power cut is nothing but a shell that stopped, and [`recover`]
//! finds the way on from what the journal holds.
//!
//! ```text
//! sync     Idle ─ Settle ─ Sync ─(nothing)─▶ Idle
//!                            └──(deployment)─▶ update
//! update   Download ─ Install ─(reboot?)─ Confirm ─ Commit ─ Record ─ Cleanup ─ Report ─▶ Idle
//!              │          │         │        │        │
//!              │          └─────────┴────────┴────────┴─▶ Rollback ─ Failure ─▶ Cleanup
//!              └─▶ Cleanup: nothing was changed, so nothing is rolled back
//! ```
//!
//! The order of scripts, reports and module calls, and the route from every failure, are those of
//! Mender's client, so that Update Modules and state scripts written for it behave the same here.

mod action;
mod control;
mod model;
mod phase;
mod recovery;
mod route;
mod standalone;
mod sync;
#[cfg(test)]
pub(crate) mod tests;

pub use action::{
    Action, Call, Event, Retry, ScriptPoint, ScriptState, SoftwareChange, Status, Task,
};
pub use control::{
    ControlAction, ControlMap, ControlPoint, InvalidControlMap, Rule, Verdict, decide,
};
pub use model::{
    ArtifactInfo, Deployment, DeploymentId, FailedPart, Health, InvalidDeploymentId, Origin, Owed,
    RebootNeed, Stage, Update,
};
pub use phase::Phase;
pub use recovery::recover;
pub use standalone::{
    Milestone, Refusal, StopPoint, Wishes, commit_standalone, install_standalone,
    resume_standalone, roll_back_standalone,
};
pub use sync::SyncPhase;

/// Journal writes and restarts that one deployment may use. Past that it is taken to be going in
/// circles. The number is that of Mender's client.
pub const MAX_SAVES: u32 = 28;

/// Where the machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Between updates.
    Sync(SyncPhase),
    /// An update is under way.
    Update { phase: Phase, update: Box<Update> },
}

impl State {
    /// The shell was to journal this state, and could not.
    pub fn set_unsaved(&mut self) {
        if let Self::Update { update, .. } = self {
            update.is_unsaved = true;
        }
    }
}

/// Whether the state must be in the journal before the action starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// Nothing to save.
    No,
    /// Save first; if that is impossible, do not act but answer [`Event::Failed`].
    Required,
    /// Save first; act even if that is impossible, because the way back must not depend on it and
    /// an older journal entry leads here as well.
    Attempt,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub state: State,
    pub journal: Journal,
    pub action: Action,
}

/// The first transition of a daemon that has no update under way.
pub fn start() -> Transition {
    sync::enter(SyncPhase::IdleEnter)
}

/// Takes the outcome of the last action to the next one. An event that does not answer the action
/// counts as its failure, so the function is total.
pub fn step(state: State, event: Event) -> Transition {
    match state {
        State::Sync(phase) => sync::step(phase, event),
        State::Update { phase, update } => route::step(phase, *update, event),
    }
}
