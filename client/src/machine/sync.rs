//! Between updates: idle until something is due, then tell the server what it has not heard yet, and
//! ask it.

use super::{
    Action, Event, Journal, Origin, Phase, ScriptPoint, ScriptState, State, Task, Transition,
    Update, model::Deployment, route,
};

/// A point between updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncPhase {
    IdleEnter,
    Idle,
    IdleLeave(Task),
    SyncEnter(Task),
    /// Before anything is asked: an answer may depend on what the server knows of the last update.
    Settle(Task),
    Sync(Task),
    SyncLeave(Option<Deployment>),
    SyncError,
}

pub(super) fn enter(phase: SyncPhase) -> Transition {
    let scripts = Action::RunScripts;
    let action = match &phase {
        SyncPhase::IdleEnter => scripts(ScriptState::Idle, ScriptPoint::Enter),
        SyncPhase::Idle => Action::Wait,
        SyncPhase::IdleLeave(_) => scripts(ScriptState::Idle, ScriptPoint::Leave),
        SyncPhase::SyncEnter(_) => scripts(ScriptState::Sync, ScriptPoint::Enter),
        SyncPhase::Settle(_) => Action::Settle,
        SyncPhase::Sync(Task::Poll) => Action::Poll,
        SyncPhase::Sync(Task::Inventory) => Action::SendInventory,
        SyncPhase::SyncLeave(_) => scripts(ScriptState::Sync, ScriptPoint::Leave),
        SyncPhase::SyncError => scripts(ScriptState::Sync, ScriptPoint::Error),
    };
    Transition { state: State::Sync(phase), journal: Journal::No, action }
}

/// Idle scripts cannot hold a device back; sync scripts can, until the next time something is due.
pub(super) fn step(phase: SyncPhase, event: Event) -> Transition {
    let next = match (phase, event) {
        (SyncPhase::IdleEnter, _) => SyncPhase::Idle,
        (SyncPhase::Idle, Event::Due(task)) => SyncPhase::IdleLeave(task),
        (SyncPhase::IdleLeave(task), _) => SyncPhase::SyncEnter(task),
        (SyncPhase::SyncEnter(task), Event::Done) => SyncPhase::Settle(task),
        (SyncPhase::Settle(task), _) => SyncPhase::Sync(task),
        (SyncPhase::Sync(_), Event::Polled(offer)) => SyncPhase::SyncLeave(offer),
        (SyncPhase::Sync(_), Event::Done) => SyncPhase::SyncLeave(None),
        (SyncPhase::SyncLeave(Some(deployment)), Event::Done) => {
            let update = Update::new(Origin::Deployment(deployment));
            return route::enter(Phase::ReportDownloading, update);
        }
        (SyncPhase::SyncLeave(None), Event::Done) | (SyncPhase::SyncError | SyncPhase::Idle, _) => {
            SyncPhase::IdleEnter
        }
        (SyncPhase::SyncEnter(_) | SyncPhase::Sync(_) | SyncPhase::SyncLeave(_), _) => {
            SyncPhase::SyncError
        }
    };
    enter(next)
}
