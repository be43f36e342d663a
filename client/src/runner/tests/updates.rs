//! What a daemon does around an update: reports, logs, inventory, outages, an operator's update.

use std::time::Duration;

use super::device::Device;
use crate::{
    machine::{DeploymentId, Owed, RebootNeed, Status},
    owed::OwedReport,
};

#[test]
fn an_update_runs_through_and_the_inventory_follows() {
    let device = Device::new();
    device.run();
    device.assert_ended_well("all is well");
    assert_eq!(device.software(), "new");
    let expected = [Status::Downloading, Status::Installing, Status::Installing, Status::Success];
    assert_eq!(device.outside.statuses(), expected);
    assert_eq!(*device.outside.logs.borrow(), [""; 0]);
    // At the start, after the first poll, and after the update: the last one counts.
    assert!(device.outside.inventories_sent.borrow().len() >= 2);
}

#[test]
fn a_failed_update_is_reported_with_its_log() {
    let device = Device::new();
    device.outside.fails.set(Some("ArtifactInstall"));
    device.run();
    device.assert_ended_well("a failing install");
    assert_eq!(device.software(), "unknown");
    assert_eq!(device.outside.count("ArtifactRollback"), 1);
    assert_eq!(*device.outside.logs.borrow(), ["d1"]);
}

#[test]
fn an_automatic_reboot_goes_on_where_it_was() {
    let device = Device::new();
    device.outside.reboot.set(RebootNeed::System);
    device.run();
    device.assert_ended_well("a reboot");
    assert_eq!((device.outside.reboots.get(), device.software().as_str()), (1, "new"));
}

#[test]
fn an_abort_while_downloading_installs_nothing() {
    let device = Device::new();
    device.outside.abort_at.set(Some(Status::Downloading));
    device.run();
    device.assert_ended_well("an abort");
    assert_eq!(device.outside.count("ArtifactInstall"), 0);
}

#[test]
fn software_that_cannot_reach_the_server_for_long_is_rolled_back_and_a_short_outage_is_not() {
    // Two reports are lost without harm; the one before the commit is tried 14 times.
    for (outage, software) in [(10, "new"), (16, "unknown")] {
        let device = Device::new();
        device.outside.outage.set(outage);
        device.run();
        device.assert_ended_well(&format!("an outage of {outage} requests"));
        assert_eq!(device.software(), software);
    }
}

#[test]
fn an_update_by_hand_is_left_to_the_operator() {
    let device = Device::new();
    let waiting = r#"{"origin":"standalone","stage":"before-commit"}"#;
    device.outside.records.borrow_mut().update = Some(serde_json::from_str(waiting).unwrap());
    device.run();
    assert!(device.outside.statuses().is_empty());
    assert!(device.outside.records.borrow().update.is_some());
}

/// As after a server that does not answer: soon, and not after the whole interval.
#[test]
fn what_fails_on_the_device_itself_is_tried_again_soon() {
    let (trouble, soon) = (Duration::from_secs(90), Duration::from_mins(5));
    let device = Device::new();
    device.outside.unreadable_until.set(trouble);
    device.run();
    device.assert_ended_well("a journal that cannot be read for a while");
    // The test ends with the poll after the update, half an hour and a tenth later at most.
    let ended = device.outside.now.get();
    assert!(ended < soon + Duration::from_mins(33), "{ended:?}");

    let device = Device::new();
    device.outside.no_inventory_until.set(trouble);
    // So that no deployment asks for the inventory.
    let waiting = r#"{"origin":"standalone","stage":"before-commit"}"#;
    device.outside.records.borrow_mut().update = Some(serde_json::from_str(waiting).unwrap());
    device.run();
    let first = device.outside.inventories_sent.borrow().first().copied();
    assert!(first.is_some_and(|first| first >= trouble && first < soon), "{first:?}");
}

#[test]
fn an_outcome_is_told_when_the_server_is_there_again() {
    for (fails, software, status, logs) in [
        (None, "new", Status::Success, &[][..]),
        (Some("ArtifactInstall"), "unknown", Status::Failure, &["d1"]),
    ] {
        let device = Device::new();
        device.outside.fails.set(fails);
        device.outside.silence.set(Duration::from_hours(6));
        device.run();
        device.assert_ended_well("a server that is away at the end");
        assert_eq!(device.software(), software);
        assert!(device.outside.unanswered_polls.get() > 0, "it goes on meanwhile");
        assert_eq!(device.outside.ends(), [("d1".to_owned(), status)]);
        assert_eq!(*device.outside.logs.borrow(), logs);
        assert!(device.outside.records.borrow().owed.is_empty());
    }
}

#[test]
fn what_is_owed_survives_a_power_cut_at_any_instant() {
    let away = || {
        let device = Device::new();
        device.outside.fails.set(Some("ArtifactInstall"));
        device.outside.silence.set(Duration::from_hours(6));
        device
    };
    let whole = away();
    whole.run();
    for fuse in 0..whole.outside.operations.get() {
        let device = away();
        device.outside.fuse.set(Some(fuse));
        device.run();
        device.assert_ended_well(&format!("cut at {fuse}"));
        assert!(device.outside.records.borrow().owed.is_empty(), "cut at {fuse}");
        // What was on its way when the power went may have arrived.
        assert!((1..=2).contains(&device.outside.ends().len()), "cut at {fuse}");
        assert!((1..=2).contains(&device.outside.logs.borrow().len()), "cut at {fuse}");
    }
}

/// However often it restarts while it retries its report, its update is over.
#[test]
fn restarts_before_the_server_hears_do_not_count_against_the_update() {
    for operations in 1..20 {
        for (fails, software, status) in
            [(None, "new", Status::Success), (Some("ArtifactInstall"), "unknown", Status::Failure)]
        {
            let device = Device::new();
            device.outside.fails.set(fails);
            device.outside.silence.set(Duration::from_hours(6));
            device.outside.short_lives.set((20, operations));
            device.run();
            let what = format!("lives of {operations} operations, {fails:?} fails");
            assert_eq!(device.outside.short_lives.get().0, 0, "{what}");
            device.assert_ended_well(&what);
            assert_eq!(device.software(), software, "{what}");
            assert_eq!(device.outside.ends(), [("d1".to_owned(), status)], "{what}");
        }
    }
}

#[test]
fn another_update_may_come_before_the_server_hears_of_the_first() {
    let device = Device::new();
    device.outside.offers.replace(vec!["d1", "d2"]);
    device.outside.deaf_to.set(Some("d1"));
    device.outside.fails.set(Some("ArtifactInstall"));
    device.run();
    let failed = |id: &str| (id.to_owned(), Status::Failure);
    assert_eq!(device.outside.ends(), [failed("d2"), failed("d1")]);
    // The log of the first is no longer the newest.
    assert_eq!(*device.outside.logs.borrow(), ["d2", "d1"]);
    assert!(device.outside.records.borrow().owed.is_empty());
}

#[test]
fn a_report_is_owed_until_the_server_takes_it_or_is_done_with_the_deployment() {
    for (answer, is_kept) in [
        (None, false),
        (Some(404), false),
        (Some(409), false),
        (Some(400), true),
        (Some(403), true),
        (Some(500), true),
    ] {
        let device = Device::new();
        device.outside.answer_to_others.set(answer);
        let id = DeploymentId::try_from("d0".to_owned()).unwrap();
        device.outside.records.borrow_mut().owed.owe(&id, Owed::Failure);
        device.run();
        device.assert_ended_well("something is owed");
        let records = device.outside.records.borrow();
        let expected = OwedReport { deployment_id: id, owed: Owed::Failure };
        let owed: Vec<_> = records.owed.iter().collect();
        assert_eq!(owed, if is_kept { vec![&expected] } else { vec![] }, "{answer:?}");
    }
}

#[test]
fn a_server_that_asks_for_a_pause_is_not_told_before_it_is_over() {
    for (answer, is_spared) in [(429, true), (500, false)] {
        let device = Device::new();
        device.outside.answer_to_others.set(Some(answer));
        let id = DeploymentId::try_from("d0".to_owned()).unwrap();
        device.outside.records.borrow_mut().owed.owe(&id, Owed::Success);
        device.run();
        device.assert_ended_well("what is owed does not hold other updates");
        assert_eq!(device.outside.refusals.get() == 1, is_spared, "{answer}");
    }
}

#[test]
fn a_deployment_that_is_offered_once_more_is_not_begun_before_the_server_knows_its_end() {
    // If it knows that it failed and offers it all the same, it wants another try.
    for (owed, installs, end) in [
        (Owed::Success, 0, Status::Success),
        (Owed::Failure, 0, Status::Failure),
        (Owed::Log, 1, Status::Success),
    ] {
        let device = Device::new();
        let id = DeploymentId::try_from("d1".to_owned()).unwrap();
        device.outside.records.borrow_mut().owed.owe(&id, owed);
        // The server takes no report of it for a while, and offers it meanwhile.
        device.outside.outage.set(2);
        device.run();
        assert_eq!(device.outside.count("ArtifactInstall"), installs, "{owed:?}");
        assert_eq!(device.outside.ends(), [("d1".to_owned(), end)], "{owed:?}");
        assert!(device.outside.records.borrow().owed.is_empty(), "{owed:?}");
    }
}

/// Whatever is written last: the device ends its update, tells, and neither reboots for ever nor
/// installs or commits twice.
#[test]
fn a_journal_that_can_no_longer_be_written_ends_the_update() {
    for reboot in [RebootNeed::No, RebootNeed::Module, RebootNeed::System] {
        for fails in [None, Some("ArtifactInstall"), Some("ArtifactCommit")] {
            for writes in 0..30 {
                let device = Device::new();
                device.outside.reboot.set(reboot);
                device.outside.fails.set(fails);
                device.outside.writes.set(Some(writes));
                device.run();
                let what = format!("{writes} writes, {reboot:?} reboot, {fails:?} fails");
                let outside = &device.outside;
                assert_eq!(outside.ends().len(), 1, "{what}: {:?}", outside.statuses());
                assert!(outside.reboots.get() <= 2, "{what}: {} reboots", outside.reboots.get());
                assert!(outside.count("ArtifactInstall") <= 1, "{what}");
                assert!(outside.count("ArtifactCommit") <= 1, "{what}");
            }
        }
    }
}

/// Whatever the journal still says of the one before: each fails, and nothing is done for it.
#[test]
fn a_journal_that_can_no_longer_be_written_hides_no_deployment_from_the_device() {
    for fails in [None, Some("ArtifactInstall"), Some("ArtifactCommit")] {
        for writes in 0..20 {
            let device = Device::new();
            device.outside.offers.replace(vec!["d1", "d2", "d3"]);
            device.outside.fails.set(fails);
            device.outside.writes.set(Some(writes));
            device.run();
            let what = format!("{writes} writes, {fails:?} fails");
            let ends = device.outside.ends();
            let ids: Vec<_> = ends.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(ids, ["d1", "d2", "d3"], "{what}");
            let is_begun = |status: &Status| *status == Status::Installing;
            let begun = device.outside.statuses().into_iter().filter(is_begun).count();
            assert!(device.outside.count("ArtifactInstall") <= begun, "{what}");
            if writes == 0 {
                assert_eq!(begun, 0);
                assert!(ends.iter().all(|(_, status)| *status == Status::Failure));
            }
        }
    }
}

/// What was told is not told again, and what was not is not forgotten, although neither can be
/// noted.
#[test]
fn a_report_is_owed_without_a_journal_as_well() {
    for writes in 0..12 {
        let device = Device::new();
        device.outside.fails.set(Some("ArtifactInstall"));
        device.outside.silence.set(Duration::from_hours(6));
        device.outside.writes.set(Some(writes));
        device.run();
        let ends = device.outside.ends();
        assert_eq!(ends, [("d1".to_owned(), Status::Failure)], "{writes} writes");
        assert_eq!(*device.outside.logs.borrow(), ["d1"], "{writes} writes");
    }
}
