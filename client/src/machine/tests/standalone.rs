//! Updates that an operator starts by hand.

use super::{
    super::{
        FailedPart, Health, RebootNeed, Update, commit_standalone, install_standalone,
        roll_back_standalone,
    },
    ALWAYS, World,
    rows::Software::{InconsistentNew, New, Old},
};

fn install(world: &mut World) -> Update {
    world.run(install_standalone()).expect("a standalone update finishes")
}

#[test]
fn a_module_without_rollback_commits_at_once() {
    let mut world = World { rollback: false, ..World::default() };
    let update = install(&mut world);
    assert_eq!(world.calls.join(" "), "DL> PPFS DL DL< AI> AI AI< AC> AC AC< CL");
    assert_eq!((world.software, update.health), (New, Health::Good));
    assert_eq!((world.statuses.as_str(), update.reboot), ("", RebootNeed::Module));
}

#[test]
fn a_module_with_rollback_waits_for_commit() {
    let mut world = World::default();
    let waiting = install(&mut world);
    assert_eq!(world.calls.join(" "), "DL> PPFS DL DL< AI> AI AI<");
    assert_eq!(world.software, Old);

    world.calls.clear();
    world.run(commit_standalone(waiting).expect("it waits for this"));
    assert_eq!(world.calls.join(" "), "AC> AC AC< CL");
    assert_eq!(world.software, New);
}

#[test]
fn a_module_with_rollback_waits_for_rollback() {
    let mut world = World::default();
    let waiting = install(&mut world);
    world.calls.clear();
    let update = world.run(roll_back_standalone(waiting)).expect("finishes");
    assert_eq!(world.calls.join(" "), "ARB> ARB ARB< AF> AF AF< CL");
    assert_eq!((world.software, update.health), (Old, Health::RolledBack));
}

#[test]
fn failures_take_the_documented_ways_out() {
    for (fail, rollback, calls, software, part) in [
        ("DL>", false, "DL> DL!", Old, FailedPart::Download),
        ("DL", false, "DL> PPFS DL DL! CL", Old, FailedPart::Download),
        ("DL<", false, "DL> PPFS DL DL< DL! CL", Old, FailedPart::Download),
        (
            "AI",
            false,
            "DL> PPFS DL DL< AI> AI AI! AF> AF AF< CL",
            InconsistentNew,
            FailedPart::Install,
        ),
        (
            "AI",
            true,
            "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< AF> AF AF< CL",
            Old,
            FailedPart::Install,
        ),
        (
            "AC",
            false,
            "DL> PPFS DL DL< AI> AI AI< AC> AC AC! AF> AF AF< CL",
            InconsistentNew,
            FailedPart::Commit,
        ),
        (
            "AC<",
            false,
            "DL> PPFS DL DL< AI> AI AI< AC> AC AC< CL",
            InconsistentNew,
            FailedPart::Commit,
        ),
        (
            "CL",
            false,
            "DL> PPFS DL DL< AI> AI AI< AC> AC AC< CL",
            InconsistentNew,
            FailedPart::Cleanup,
        ),
    ] {
        let mut world = World { fail: vec![(fail, ALWAYS)], rollback, ..World::default() };
        let update = install(&mut world);
        assert_eq!(world.calls.join(" "), calls, "{fail} fails");
        assert_eq!(world.software, software, "{fail} fails");
        assert_eq!(update.failed_part, Some(part), "{fail} fails");
    }
}

#[test]
fn an_interrupted_update_can_only_be_rolled_back() {
    let mut world = World { cut: vec![("AI", 1)], ..World::default() };
    world.recovers = false;
    assert_eq!(world.run(install_standalone()), None, "the power went");
    let interrupted = world.journal.clone().expect("the journal knows");
    assert_eq!(commit_standalone(interrupted.clone()), None);

    world.calls.clear();
    let update = world.run(roll_back_standalone(interrupted)).expect("finishes");
    assert_eq!(world.calls.join(" "), "ARB> ARB ARB< AF> AF AF< CL");
    assert_eq!((world.software, update.health), (Old, Health::RolledBack));
}

#[test]
fn a_failure_that_was_interrupted_is_still_recorded() {
    let mut world = World { cut: vec![("AF", 1)], fail: vec![("AI", 1)], ..World::default() };
    (world.recovers, world.rollback) = (false, false);
    assert_eq!(world.run(install_standalone()), None, "the power went");

    world.calls.clear();
    let interrupted = world.journal.clone().expect("the journal knows");
    let update = world.run(roll_back_standalone(interrupted)).expect("finishes");
    assert_eq!(world.calls.join(" "), "AF> AF AF< CL");
    assert_eq!((world.software, update.health), (InconsistentNew, Health::Failed));
}
