//! A journal that can no longer be written, from any point of any update on.
//!
//! What the client knows is then lost with its process, so less must hold than elsewhere: the device
//! boots, the update ends, the server hears that, and nothing runs twice or for ever.

use std::rc::Rc;

use super::{
    outside::Outside,
    run::{Ended, Observer, Run},
    scenario::{Image, SCENARIOS, Scenario, Wish},
};
use crate::machine::Status;

/// What must hold when the client has nothing more to do.
fn check(outside: &Outside, scenario: &Scenario) -> Result<(), String> {
    if let Some(offence) = &outside.offence {
        return Err(offence.clone());
    }
    if outside.is_brick {
        return Err("it does not boot".to_owned());
    }
    let runs_new = outside.running(scenario.payload) == Some(outside.wanted);
    match outside.told_ends()[..] {
        [Status::Failure] => Ok(()),
        [Status::Success] if runs_new && !outside.boot.is_trial => Ok(()),
        ref told => Err(format!("runs the new software: {runs_new}; the server was told {told:?}")),
    }
}

/// Breaks the journal after so many points; `None` if the update was over by then.
fn run(scenario: Scenario, after: u32) -> Option<Result<(), String>> {
    let run: Rc<Run> = Run::new(Outside::new(), scenario, Observer::Breaker(after));
    let mut ended = run.live();
    if scenario.image == Image::Mute && !run.outside.borrow().is_told() {
        // Without a journal the client risks no second reboot, and what runs cannot reach the
        // server. The device boots the old system when somebody restarts it.
        run.change(|outside| {
            outside.reboot();
            // The client goes back to where the journal ends.
            outside.last_call = 0;
        });
        ended = run.live();
    }
    let outside = run.outside.borrow();
    outside.journal.is_read_only.then(|| match ended? {
        Ended::Over => check(&outside, &scenario),
        Ended::Early => Err("it did not end".to_owned()),
    })
}

#[test]
fn an_update_whose_journal_breaks_ends_and_is_told() {
    // A server that hears late waits for the journal.
    let scenarios = SCENARIOS.iter().filter(|s| s.wish == Wish::Deploy && !s.hears_late);
    for scenario in scenarios {
        let outcomes = (0..).map_while(|after| run(*scenario, after));
        let mut count = 0;
        for (after, outcome) in outcomes.enumerate() {
            assert_eq!(outcome, Ok(()), "{}, broken after {after} points", scenario.name);
            count += 1;
        }
        assert!(count > 20, "{}: {count} points", scenario.name);
    }
}
