//! Outcomes that the server does not hear.

use super::*;

/// An update that fails as told, and whose outcome is not heard.
fn owed(fail: &[&'static str], aborted: Option<char>) -> (Option<Owed>, String) {
    let fail = fail.iter().map(|name| (*name, ALWAYS)).collect();
    let mut world = World { fail, abort_at: aborted, ..World::default() };
    world.deploy();
    assert_eq!(world.journal, None, "the device goes on");
    (world.owed, world.statuses)
}

#[test]
fn what_the_server_has_not_heard_is_owed() {
    for (fail, expected, statuses) in [
        (&[][..], None, "DIRIS"),
        (&["outcome"], Some(Owed::Success), "DIRI"),
        (&["AI"], None, "DIF"),
        (&["AI", "outcome"], Some(Owed::Failure), "DI"),
        (&["AI", "log"], Some(Owed::Log), "DIF"),
    ] {
        assert_eq!(owed(fail, None), (expected, statuses.to_owned()), "{fail:?}");
    }
}

#[test]
fn a_server_that_has_ended_the_deployment_is_owed_nothing() {
    for (fail, letter) in [(&[][..], 'S'), (&["AI", "log"], 'F')] {
        assert_eq!(owed(fail, Some(letter)).0, None, "{letter}");
    }
}
