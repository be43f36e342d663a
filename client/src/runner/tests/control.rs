//! Whole updates under control maps, where nothing waits but the clock.

use std::time::Duration;

use serde_json::{Value, json};

use super::device::{Device, Fake};
use crate::{
    clock::{Clock, Moment},
    config::Settings,
    control::{ControlTimes, clear_maps, set_map},
    machine::{RebootNeed, Status},
};

const POINTS: [(&str, Status); 3] = [
    ("ArtifactInstall_Enter", Status::PauseBeforeInstalling),
    ("ArtifactReboot_Enter", Status::PauseBeforeRebooting),
    ("ArtifactCommit_Enter", Status::PauseBeforeCommitting),
];

const HOUR: Duration = Duration::from_hours(1);

fn map(point: &str, action: &str) -> Value {
    json!({"id": "d1", "priority": 1, "states": {point: {"action": action}}})
}

/// A device whose server pauses its updates at a point from the beginning, and says something else
/// from a later time on.
fn paused_at(point: &str, later: Option<(Duration, Option<Value>)>) -> Device {
    let device = Device::new();
    device.outside.reboot.set(RebootNeed::Module);
    let mut maps = device.outside.control_maps.borrow_mut();
    maps.push((Duration::ZERO, Some(map(point, "pause"))));
    maps.extend(later);
    drop(maps);
    device
}

fn count(device: &Device, status: Status) -> usize {
    device.outside.statuses().iter().filter(|said| **said == status).count()
}

fn times() -> ControlTimes {
    ControlTimes::new(&Settings::default())
}

/// A program on the device sets a map, now.
fn set_locally(device: &Device, json: &Value) -> Duration {
    let mut fake = Fake(device.outside.clone());
    let now = fake.moment();
    set_map(&mut fake, &json.to_string(), &now, &times()).unwrap()
}

#[test]
fn the_server_lets_go_when_it_likes() {
    for (point, status) in POINTS {
        let end = (5 * HOUR, Some(map(point, "force_continue")));
        let device = paused_at(point, Some(end));
        device.run();
        device.assert_ended_well(point);
        assert_eq!(device.software(), "new", "{point}");
        assert_eq!(count(&device, status), 1, "{point}");
        // With the offer, and then at half of each hour.
        let renewals = device.outside.renewals.borrow();
        assert!((10..15).contains(&renewals.len()), "{point}: {renewals:?}");
        let waited = renewals.last().unwrap();
        assert!((5 * HOUR..6 * HOUR).contains(waited), "{point}: {renewals:?}");
        assert!(device.outside.records.borrow().controls.is_empty(), "{point}");
    }
}

#[test]
fn the_server_ends_a_pause_by_ending_the_deployment_or_by_saying_so() {
    for (point, _) in POINTS {
        for later in [None, Some(map(point, "fail")), Some(json!({"id": "d1", "states": 3}))] {
            let circumstances = format!("{point}, {later:?}");
            let device = paused_at(point, Some((5 * HOUR, later)));
            device.run();
            device.assert_ended_well(&circumstances);
            assert_eq!(device.software(), "unknown", "{circumstances}");
            let is_installed = point != "ArtifactInstall_Enter";
            let undone = device.outside.count("ArtifactRollback");
            assert_eq!(undone, usize::from(is_installed), "{circumstances}");
        }
    }
}

#[test]
fn a_server_that_is_gone_holds_a_device_for_the_life_of_its_map() {
    for (point, _) in POINTS {
        let device = paused_at(point, None);
        device.outside.is_cut_off.set(true);
        device.run();
        device.assert_ended_well(point);
        assert_eq!(device.software(), "unknown", "{point}");
        let end = *device.outside.renewals.borrow().last().unwrap();
        assert!(end <= HOUR, "{point}: {end:?}");
    }
}

#[test]
fn a_map_that_is_not_understood_lets_nothing_be_installed() {
    let device = paused_at("Bogus_Enter", None);
    device.run();
    device.assert_ended_well("a bogus state");
    assert_eq!(device.software(), "unknown");
    assert_eq!(device.outside.count("ArtifactInstall"), 0);
}

#[test]
fn a_program_on_the_device_holds_an_update_as_long_as_it_asks() {
    let device = Device::new();
    let json = json!({"id": "local", "states": {"ArtifactInstall_Enter": {"action": "pause"}}});
    assert_eq!(set_locally(&device, &json), HOUR / 2);
    device.run();
    device.assert_ended_well("nobody renews it");
    assert_eq!(device.software(), "unknown");
    // The server hears of the pause again and again, and could abort.
    assert!(count(&device, Status::PauseBeforeInstalling) >= 2);

    // A map that has expired does not count for the next deployment.
    let device = Device::new();
    set_locally(&device, &json);
    device.outside.now.set(2 * HOUR);
    device.run();
    device.assert_ended_well("it has expired");
    assert_eq!(device.software(), "new");

    let device = Device::new();
    set_locally(&device, &json);
    clear_maps(&mut Fake(device.outside.clone())).unwrap();
    device.run();
    assert_eq!(device.software(), "new");
}

#[test]
fn programs_and_the_server_have_their_say_by_priority() {
    for (local, expected) in [(2, "new"), (0, "unknown")] {
        let device = paused_at("ArtifactCommit_Enter", Some((HOUR / 2, None)));
        let states = json!({"ArtifactCommit_Enter": {"action": "force_continue"}});
        set_locally(&device, &json!({"id": "local", "priority": local, "states": states}));
        device.run();
        device.assert_ended_well(expected);
        assert_eq!(device.software(), expected);
    }
}

#[test]
fn a_map_is_replaced_by_the_next_of_its_id_and_priority() {
    let device = Device::new();
    let json = |action: &str| json!({"id": "local", "states": {"ArtifactInstall_Enter": {"action": action}}});
    set_locally(&device, &json("fail"));
    set_locally(&device, &json("continue"));
    device.run();
    assert_eq!(device.software(), "new");

    let mut fake = Fake(device.outside.clone());
    let now = fake.moment();
    for number in 0..40 {
        let json = json!({"id": number.to_string()}).to_string();
        let set = set_map(&mut fake, &json, &now, &times());
        assert_eq!(set.is_ok(), number < 31, "{number}");
    }
}

/// Maps from before a start of the device expire ten minutes after it, unless they are renewed.
#[test]
fn a_map_from_before_the_start_expires_soon() {
    let times = times();
    let device = Device::new();
    set_locally(&device, &json!({"id": "local"}));
    let controls = device.outside.records.borrow().controls.clone();
    let minutes = |number| Duration::from_mins(number);
    let at = |boot: &str, uptime| Moment { boot: boot.to_owned(), uptime };
    for (now, left) in [
        (at("0", minutes(50)), Some(minutes(10))),
        (at("0", minutes(60)), None),
        (at("1", minutes(4)), Some(minutes(6))),
        (at("1", minutes(10)), None),
    ] {
        let found: Vec<_> = controls.maps(&now, &times).map(|(_, left)| left).collect();
        assert_eq!(found, [left], "{now:?}");
    }
}

/// Somebody else has restarted a device that was to wait with that: it has rebooted.
#[test]
fn a_device_that_waits_with_its_reboot_and_loses_power_has_rebooted() {
    let device = paused_at("ArtifactReboot_Enter", Some((5 * HOUR, Some(json!({"id": "d1"})))));
    device.outside.is_cut_off.set(true);
    device.run();
    let (until_end, installed) = (device.outside.operations.get(), device.software());
    assert_eq!(installed, "unknown");

    let mut seen = 0;
    for fuse in 0..until_end {
        let device = paused_at("ArtifactReboot_Enter", None);
        device.outside.is_cut_off.set(true);
        device.outside.fuse.set(Some(fuse));
        device.run();
        device.assert_ended_well(&format!("cut at {fuse}"));
        let was_cut_in_pause = device.software() == "new"
            && device.outside.count("ArtifactReboot") == 0
            && count(&device, Status::PauseBeforeRebooting) > 0;
        seen += u32::from(was_cut_in_pause);
    }
    assert!(seen > 0, "no power cut hit the pause");
}

#[test]
fn a_power_cut_at_any_instant_of_a_pause_leaves_one_of_two_ends() {
    for (point, later) in [
        ("ArtifactInstall_Enter", Some("force_continue")),
        ("ArtifactReboot_Enter", Some("fail")),
        ("ArtifactCommit_Enter", Some("force_continue")),
        ("ArtifactCommit_Enter", None),
    ] {
        let end = (HOUR, later.map(|action| map(point, action)));
        let whole = paused_at(point, Some(end.clone()));
        whole.run();
        for fuse in 0..whole.outside.operations.get() {
            let device = paused_at(point, Some(end.clone()));
            device.outside.fuse.set(Some(fuse));
            device.run();
            device.assert_ended_well(&format!("{point}, then {later:?}, cut at {fuse}"));
        }
    }
}
