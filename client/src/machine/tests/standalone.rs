//! Updates that an operator starts by hand.

use super::{
    super::{
        FailedPart, Health, Milestone, RebootNeed, Refusal, Stage, StopPoint, Update, Wishes,
        commit_standalone, install_standalone, resume_standalone, roll_back_standalone,
    },
    ALWAYS, World,
    rows::Software::{self, InconsistentNew, New, Old},
};

fn before(points: &[StopPoint]) -> Wishes {
    Wishes { stop_before: points.to_vec(), run: Some("run".to_owned()) }
}

fn install(world: &mut World) -> Update {
    world.run(install_standalone(before(&[]))).expect("a standalone update finishes")
}

/// What the next command finds in the journal.
fn waiting(world: &World) -> Update {
    world.journal.clone().expect("an update waits")
}

fn commit(world: &mut World) -> Update {
    let first = commit_standalone(waiting(world), before(&[])).expect("it waits for this");
    world.run(first).expect("finishes")
}

fn roll_back(world: &mut World) -> Update {
    let first = roll_back_standalone(waiting(world), before(&[])).expect("it waits for this");
    world.run(first).expect("finishes")
}

fn resume(world: &mut World, points: &[StopPoint]) -> Update {
    world.run(resume_standalone(waiting(world), before(points))).expect("finishes")
}

#[test]
fn a_module_without_rollback_commits_at_once() {
    let mut world = World { rollback: false, ..World::default() };
    let update = install(&mut world);
    assert_eq!(world.calls.join(" "), "DL> PPFS DL DL< AI> AI AI< AC> AC AC< CL");
    assert_eq!((world.software, update.health), (New, Health::Good));
    assert_eq!((world.statuses.as_str(), update.reboot), ("", RebootNeed::Module));
    assert_eq!(
        update.milestones,
        [
            Milestone::Streamed,
            Milestone::Installed,
            Milestone::CommittedAtOnce,
            Milestone::Committed,
            Milestone::CleanedUp
        ]
    );
}

#[test]
fn a_module_with_rollback_waits_for_commit() {
    let mut world = World::default();
    install(&mut world);
    assert_eq!(world.calls.join(" "), "DL> PPFS DL DL< AI> AI AI<");
    assert_eq!((world.software, waiting(&world).stage), (Old, Stage::BeforeCommit));

    world.calls.clear();
    commit(&mut world);
    assert_eq!(world.calls.join(" "), "AC> AC AC< CL");
    assert_eq!((world.software, &world.journal), (New, &None));
}

#[test]
fn a_module_with_rollback_waits_for_rollback() {
    let mut world = World::default();
    install(&mut world);
    world.calls.clear();
    let update = roll_back(&mut world);
    assert_eq!(world.calls.join(" "), "ARB> ARB ARB< AF> AF AF< CL");
    assert_eq!((world.software, update.health), (Old, Health::RolledBack));
    assert_eq!(update.milestones, [Milestone::RolledBack, Milestone::CleanedUp]);
}

#[test]
fn a_rollback_that_the_module_refuses_leaves_the_update_as_it_was() {
    let mut world = World::default();
    install(&mut world);
    let before = waiting(&world);
    world.calls.clear();
    world.rollback = false;
    let update = roll_back(&mut world);
    assert_eq!(update.milestones, [Milestone::NoRollback]);
    assert_eq!((waiting(&world), world.calls.len()), (before, 0));
    commit(&mut world);
    assert_eq!(world.software, New);
}

#[test]
fn failures_take_the_documented_ways_out() {
    for (fail, rollback, calls, software, part) in [
        ("DL>", false, "DL> DL! CL", Old, FailedPart::Download),
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
        assert!(update.milestones.iter().copied().any(Milestone::is_failure), "{fail} fails");
    }
}

/// Everything before the point is done, nothing behind it; to stop there again changes nothing.
#[test]
fn a_stop_is_before_its_point_and_the_same_stop_is_no_step() {
    use StopPoint as P;

    for (point, fail, calls, stage) in [
        (P::InstallEnter, None, "DL> PPFS DL DL<", Stage::BeforeInstall),
        (P::CommitEnter, None, "DL> PPFS DL DL< AI> AI AI<", Stage::BeforeCommit),
        (P::RollbackEnter, Some("AI"), "DL> PPFS DL DL< AI> AI AI!", Stage::Rollback),
        (
            P::FailureEnter,
            Some("AI"),
            "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB<",
            Stage::UpdateError,
        ),
        (P::Cleanup, Some("DL"), "DL> PPFS DL DL!", Stage::Cleanup),
    ] {
        let fail = fail.map(|name| (name, 1)).into_iter().collect();
        let mut world = World { fail, ..World::default() };
        world.run(install_standalone(before(&[point]))).expect("stops");
        assert_eq!(world.calls.join(" "), calls, "{point:?}");
        let stopped = waiting(&world);
        assert_eq!((stopped.stage, stopped.run.as_ref()), (stage, None), "{point:?}");
        let again = resume(&mut world, &[point]);
        assert_eq!((world.calls.join(" ").as_str(), again.milestones.len()), (calls, 0));
        assert_eq!(waiting(&world).stage, stage);
    }
}

#[test]
fn each_command_goes_on_where_the_last_one_stopped() {
    let mut world = World::default();
    world.run(install_standalone(before(&[StopPoint::InstallEnter]))).expect("stops");
    for calls in ["AI> AI AI<", "AC> AC AC< CL"] {
        world.calls.clear();
        resume(&mut world, &[]);
        assert_eq!(world.calls.join(" "), calls);
    }
    assert_eq!((world.software, &world.journal), (New, &None));
}

#[test]
fn a_commit_can_be_taken_back_until_the_cleanup() {
    let mut world = World::default();
    install(&mut world);
    for point in [StopPoint::CommitLeave, StopPoint::CommitLeave] {
        let first = commit_standalone(waiting(&world), before(&[point])).expect("waits for it");
        world.run(first).expect("stops");
    }
    assert_eq!(waiting(&world).stage, Stage::BeforeCommitLeave);
    world.calls.clear();
    roll_back(&mut world);
    assert_eq!(world.calls.join(" "), "ARB> ARB ARB< AF> AF AF< CL");
    assert_eq!(world.software, Old);

    let mut world = World { rollback: false, ..World::default() };
    world.run(install_standalone(before(&[StopPoint::Cleanup]))).expect("stops");
    assert_eq!(roll_back_standalone(waiting(&world), before(&[])), Err(Refusal::TooLate));
    world.calls.clear();
    resume(&mut world, &[]);
    assert_eq!((world.calls.join(" ").as_str(), world.software), ("CL", New));
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    let mut world = World { fail: vec![("AI", 1)], ..World::default() };
    world.run(install_standalone(before(&[StopPoint::InstallEnter]))).expect("stops");
    let commit = |world: &World| commit_standalone(waiting(world), before(&[])).err();
    assert_eq!(commit(&world), Some(Refusal::NotInstalled));
    for point in [StopPoint::RollbackEnter, StopPoint::FailureEnter, StopPoint::Cleanup] {
        resume(&mut world, &[point]);
        assert_eq!(commit(&world), Some(Refusal::RollingBack), "{point:?}");
    }
    world.calls.clear();
    let update = roll_back(&mut world);
    assert_eq!((world.calls.join(" ").as_str(), world.software), ("CL", Old));
    assert_eq!(update.milestones, [Milestone::CleanedUp]);
}

/// Before the installation there is nothing to take back.
#[test]
fn a_payload_that_was_only_streamed_is_dropped() {
    let mut world = World::default();
    world.run(install_standalone(before(&[StopPoint::InstallEnter]))).expect("stops");
    world.calls.clear();
    roll_back(&mut world);
    assert_eq!((world.calls.join(" ").as_str(), world.software), ("CL", Old));
}

/// Cuts the power at each step of an update by hand, and takes the update up in both ways.
#[test]
fn an_interrupted_command_is_resumed_or_rolled_back() {
    type TakeUp = fn(&mut World);
    let resume: TakeUp = |world| drop(resume(world, &[]));
    let roll_back: TakeUp = |world| drop(roll_back(world));
    let back = "ARB> ARB ARB< AF> AF AF< CL";
    for (cut, resumed, software, rolled_back) in [
        ("DL>", "CL", Old, "CL"),
        ("DL", "CL", Old, "CL"),
        ("DL<", "CL", Old, "CL"),
        ("AI>", back, Old, back),
        ("AI", back, Old, back),
        ("AI<", back, Old, back),
        ("AC>", back, Old, back),
        ("AC", back, Old, back),
        ("AC<", "AC< CL", New, back),
    ] {
        for (take_up, calls, software) in
            [(resume, resumed, software), (roll_back, rolled_back, Old)]
        {
            let (calls_made, found) = after_cut(cut, take_up);
            assert_eq!((calls_made.as_str(), found), (calls, software), "cut at {cut}");
        }
    }
}

fn after_cut(cut: &'static str, take_up: fn(&mut World)) -> (String, Software) {
    let mut world = World { cut: vec![(cut, 1)], recovers: false, ..World::default() };
    if world.run(install_standalone(before(&[]))).is_some() {
        let first = commit_standalone(waiting(&world), before(&[])).expect("it waits for this");
        assert_eq!(world.run(first), None, "the power went");
    }
    assert_eq!(waiting(&world).run.as_deref(), Some("run"), "its programs can be found");
    world.calls.clear();
    take_up(&mut world);
    assert_eq!(world.journal, None);
    (world.calls.join(" "), world.software)
}

#[test]
fn a_stop_that_cannot_be_journaled_is_no_stop() {
    // The writes are those of the download, of the payload, and of the installation.
    let mut world = World { writes: 3, ..World::default() };
    let update = install(&mut world);
    assert_eq!(world.calls.join(" "), "DL> PPFS DL DL< AI> AI AI< ARB> ARB ARB< AF> AF AF< CL");
    assert_eq!((world.software, update.health), (Old, Health::RolledBack));
    assert!(update.milestones.contains(&Milestone::InstallationFailed));
}

#[test]
fn a_failure_that_was_interrupted_is_still_recorded() {
    let mut world = World { cut: vec![("AF", 1)], fail: vec![("AI", 1)], ..World::default() };
    (world.recovers, world.rollback) = (false, false);
    assert_eq!(world.run(install_standalone(before(&[]))), None, "the power went");

    world.calls.clear();
    let update = roll_back(&mut world);
    assert_eq!(world.calls.join(" "), "AF> AF AF< CL");
    assert_eq!((world.software, update.health), (InconsistentNew, Health::Failed));
}
