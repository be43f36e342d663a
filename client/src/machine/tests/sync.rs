//! Between updates.

use super::super::{
    Action, Event, Phase, ScriptPoint, ScriptState, State, SyncPhase, Task, start, step,
};

fn run(events: Vec<Event>) -> (Vec<Action>, State) {
    let mut next = start();
    let mut actions = Vec::new();
    for event in events {
        actions.push(next.action);
        next = step(next.state, event);
    }
    (actions, next.state)
}

#[test]
fn a_poll_that_finds_nothing_returns_to_idle() {
    let (actions, state) = run(vec![
        Event::Done,
        Event::Due(Task::Poll),
        Event::Done,
        Event::Done,
        Event::Done,
        Event::Polled(None),
        Event::Done,
    ]);
    assert_eq!(
        actions,
        [
            Action::RunScripts(ScriptState::Idle, ScriptPoint::Enter),
            Action::Wait,
            Action::RunScripts(ScriptState::Idle, ScriptPoint::Leave),
            Action::RunScripts(ScriptState::Sync, ScriptPoint::Enter),
            Action::Settle,
            Action::Poll,
            Action::RunScripts(ScriptState::Sync, ScriptPoint::Leave),
        ]
    );
    assert_eq!(state, State::Sync(SyncPhase::IdleEnter));
}

#[test]
fn idle_scripts_hold_nothing_back() {
    let (actions, _) = run(vec![
        Event::Failed,
        Event::Due(Task::Inventory),
        Event::Failed,
        Event::Done,
        Event::Done,
        Event::Done,
    ]);
    assert_eq!(actions.last(), Some(&Action::SendInventory));
}

#[test]
fn a_failing_sync_script_drops_the_offer_until_the_next_poll() {
    let offer = super::deployment();
    let (_, state) = run(vec![
        Event::Done,
        Event::Due(Task::Poll),
        Event::Done,
        Event::Done,
        Event::Done,
        Event::Polled(Some(offer)),
        Event::Failed,
    ]);
    assert_eq!(state, State::Sync(SyncPhase::SyncError));
}

#[test]
fn an_offer_becomes_an_update() {
    let next = step(State::Sync(SyncPhase::SyncLeave(Some(super::deployment()))), Event::Done);
    assert!(matches!(next.state, State::Update { phase: Phase::ReportDownloading, .. }));
}
