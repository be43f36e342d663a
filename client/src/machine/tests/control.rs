//! Updates that are held, let go, and ended by control maps; and what maps say together.

use super::*;

const INSTALL: &str = "AI> AI AI< ";
const REBOOT: &str = "AR> AR AVR AR< ";
const BACK: &str = "ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL";

/// Runs a deployment under control; the steps from the download on.
fn deploy(world: &mut World) -> String {
    world.deploy();
    let calls = world.calls.join(" ");
    calls.split_once("DL< ").expect("it was downloaded").1.to_owned()
}

fn told(point: ControlPoint, asked: Event, end: Event) -> World {
    World { control: vec![(point, asked, end)], ..World::default() }
}

#[test]
fn a_pause_waits_and_then_goes_on_where_it_was() {
    for (point, statuses) in [
        (ControlPoint::Install, "DiIRIS"),
        (ControlPoint::Reboot, "DIrRIS"),
        (ControlPoint::Commit, "DIRcIS"),
    ] {
        let mut world = told(point, Event::Held, Event::Done);
        let calls = deploy(&mut world);
        assert_eq!(calls, format!("{INSTALL}{REBOOT}AC> AC AC< CL"), "{point:?}");
        assert_eq!((world.statuses.as_str(), world.software), (statuses, Software::New));
    }
}

/// At once, at the end of a pause, or because the server has aborted meanwhile: all is undone, and
/// before the installation there is nothing to undo.
#[test]
fn a_refusal_takes_the_right_way_back() {
    for (point, calls, paused, refused) in [
        (ControlPoint::Install, "CL".to_owned(), "DiF", "DF"),
        (ControlPoint::Reboot, format!("{INSTALL}{BACK}"), "DIrF", "DIF"),
        (ControlPoint::Commit, format!("{INSTALL}{REBOOT}{BACK}"), "DIRcF", "DIRF"),
    ] {
        for (asked, end, statuses) in [
            (Event::Failed, Event::Done, refused),
            (Event::Aborted, Event::Done, refused),
            (Event::Held, Event::Failed, paused),
            (Event::Held, Event::Aborted, paused),
        ] {
            let mut world = told(point, asked.clone(), end.clone());
            assert_eq!(deploy(&mut world), calls, "{point:?}, {asked:?}, {end:?}");
            assert_eq!(world.statuses, statuses, "{point:?}, {asked:?}, {end:?}");
            assert_eq!(world.software, Software::Old);
        }
    }
}

#[test]
fn an_abort_is_heard_with_the_report_of_the_pause() {
    for (point, letter, calls) in [
        (ControlPoint::Install, 'i', "CL".to_owned()),
        (ControlPoint::Reboot, 'r', format!("{INSTALL}{BACK}")),
        (ControlPoint::Commit, 'c', format!("{INSTALL}{REBOOT}{BACK}")),
    ] {
        let mut world = told(point, Event::Held, Event::Done);
        world.abort_at = Some(letter);
        assert_eq!(deploy(&mut world), calls, "{point:?}");
        assert_eq!(world.software, Software::Old);
    }
}

/// The payload is on the device, so nothing is lost; after a reboot the software has to show once
/// more that it runs.
#[test]
fn a_pause_outlives_power_cuts() {
    for (point, hold, calls) in [
        (ControlPoint::Install, "hold ArtifactInstall_Enter", "AI> AI AI< AR> AR AVR AR<"),
        (ControlPoint::Reboot, "hold ArtifactReboot_Enter", "AI> AI AI< AR> AR AVR AR<"),
        (
            ControlPoint::Commit,
            "hold ArtifactCommit_Enter",
            "AI> AI AI< AR> AR AVR AR< AVR AVR AVR",
        ),
    ] {
        let mut world = told(point, Event::Held, Event::Done);
        world.cut = vec![(hold, 3)];
        assert_eq!(deploy(&mut world), format!("{calls} AC> AC AC< CL"), "{point:?}");
        assert_eq!(world.software, Software::New);
    }
    // The bootloader has gone back meanwhile.
    let mut world = told(ControlPoint::Commit, Event::Held, Event::Done);
    world.cut = vec![("hold ArtifactCommit_Enter", 1)];
    world.recovers = false;
    world.deploy();
    world.fail = vec![("AVR", 1)];
    world.recovers = true;
    world.calls.clear();
    world.run(recover(world.journal.clone().unwrap()));
    assert_eq!(world.calls.join(" "), format!("AVR AR! {BACK}"));
    assert_eq!(world.software, Software::Old);
}

/// Waiting does not count as going in circles, but new software that restarts again and again does.
#[test]
fn only_restarts_of_new_software_use_up_patience() {
    for (hold, point, software) in [
        ("hold ArtifactInstall_Enter", ControlPoint::Install, Software::New),
        ("hold ArtifactCommit_Enter", ControlPoint::Commit, Software::InconsistentNew),
    ] {
        let mut world = told(point, Event::Held, Event::Done);
        world.cut = vec![(hold, 100)];
        world.deploy();
        assert_eq!(world.software, software, "{point:?}");
    }
    let mut world = told(ControlPoint::Commit, Event::Held, Event::Done);
    world.cut = vec![("hold ArtifactCommit_Enter", 15)];
    world.deploy();
    assert_eq!(world.software, Software::New);
}

#[test]
fn an_operator_at_the_device_is_not_held() {
    let refuse = |point| (point, Event::Failed, Event::Failed);
    let points = [ControlPoint::Install, ControlPoint::Reboot, ControlPoint::Commit];
    let mut world =
        World { control: points.map(refuse).into(), rollback: false, ..World::default() };
    let update = world.run(install_standalone(Wishes::default())).expect("finishes");
    assert_eq!((world.software, update.health), (Software::New, Health::Good));
}

fn map(id: &str, priority: i32, states: &str) -> ControlMap {
    let json = format!(r#"{{"id":"{id}","priority":{priority},"states":{{{states}}}}}"#);
    ControlMap::parse(&json).unwrap()
}

fn at_install(action: &str) -> String {
    format!(r#""ArtifactInstall_Enter":{{"action":"{action}"}}"#)
}

fn verdict(maps: &[(i32, &str)]) -> Verdict {
    let mut maps: Vec<_> = maps
        .iter()
        .map(|(priority, action)| (map("m", *priority, &at_install(action)), false))
        .collect();
    decide(&mut maps, ControlPoint::Install)
}

#[test]
fn the_highest_priority_with_an_opinion_decides() {
    for (maps, expected) in [
        (&[][..], Verdict::Continue),
        (&[(0, "continue")], Verdict::Continue),
        (&[(0, "pause")], Verdict::Pause),
        (&[(0, "fail")], Verdict::Fail),
        (&[(0, "force_continue")], Verdict::Continue),
        // Above the others, `continue` leaves it to them and `force_continue` does not.
        (&[(1, "continue"), (0, "pause")], Verdict::Pause),
        (&[(1, "force_continue"), (0, "fail")], Verdict::Continue),
        (&[(0, "fail"), (1, "pause")], Verdict::Pause),
        (&[(-10, "fail"), (10, "pause")], Verdict::Pause),
        // Among equals.
        (&[(3, "pause"), (3, "fail")], Verdict::Fail),
        (&[(3, "force_continue"), (3, "pause")], Verdict::Pause),
        (&[(3, "continue"), (3, "force_continue"), (2, "fail")], Verdict::Continue),
    ] {
        assert_eq!(verdict(maps), expected, "{maps:?}");
    }
    let mut maps = [(map("m", 0, &at_install("fail")), false)];
    assert_eq!(decide(&mut maps, ControlPoint::Commit), Verdict::Continue, "not its point");
}

#[test]
fn an_expired_map_says_what_it_has_for_that_case() {
    for (rule, expected) in [
        (r#""action":"pause""#, Verdict::Fail),
        (r#""action":"pause","on_map_expire":"continue""#, Verdict::Continue),
        (r#""action":"continue","on_map_expire":"fail""#, Verdict::Fail),
        (r#""action":"fail""#, Verdict::Fail),
        (r#""action":"force_continue""#, Verdict::Continue),
    ] {
        let states = format!(r#""ArtifactCommit_Enter":{{{rule}}}"#);
        let mut maps = [(map("m", 0, &states), true)];
        assert_eq!(decide(&mut maps, ControlPoint::Commit), expected, "{rule}");
    }
}

#[test]
fn an_action_may_hold_once() {
    let once = r#""ArtifactReboot_Enter":{"action":"pause","on_action_executed":"continue"}"#;
    let unheard = r#""ArtifactReboot_Enter":{"action":"pause","on_action_executed":"fail"}"#;
    let mut maps = [(map("m", 1, once), false), (map("n", 0, unheard), false)];
    let mut at_reboot = || decide(&mut maps, ControlPoint::Reboot);
    assert_eq!(at_reboot(), Verdict::Pause);
    // Now the lower one is heard, for the first time.
    assert_eq!((at_reboot(), at_reboot()), (Verdict::Pause, Verdict::Fail));
}

#[test]
fn maps_are_read_without_regard_to_case_and_written_in_full() {
    let json = r#"{"ID":"m","Priority":-3,"States":{
        "ArtifactReboot_Enter":{"Action":"pause","ON_MAP_EXPIRE":"","on_action_executed":null}}}"#;
    let map = ControlMap::parse(json).unwrap();
    let value = serde_json::Value::from(map.clone());
    let expected = serde_json::json!({"id": "m", "priority": -3, "states": {
        "ArtifactReboot_Enter":
            {"action": "pause", "on_map_expire": "fail", "on_action_executed": "pause"}}});
    assert_eq!(value, expected);
    assert_eq!(ControlMap::try_from(value).unwrap(), map);
    let refusal = ControlMap::refusal("m");
    let read_back = ControlMap::try_from(serde_json::Value::from(refusal.clone()));
    assert_eq!(read_back.unwrap(), refusal);
}

#[test]
fn maps_that_might_mean_something_else_are_refused() {
    let state = |rule: &str| format!(r#"{{"id":"m","states":{{"ArtifactInstall_Enter":{rule}}}}}"#);
    for (json, expected) in [
        ("", "is not JSON"),
        ("[]", "the whole of the control map must be an object"),
        ("{}", "needs an id"),
        (r#"{"id":""}"#, "needs an id"),
        (r#"{"id":7}"#, "id of the control map must be a string"),
        (r#"{"id":"m","priority":11}"#, "priority 11"),
        (r#"{"id":"m","priority":-11}"#, "priority -11"),
        (r#"{"id":"m","priority":1.5}"#, "must be a whole number"),
        (r#"{"id":"m","state":{}}"#, "has \"state\" in it"),
        (r#"{"id":"m","states":{"Bogus_Enter":{}}}"#, "has \"Bogus_Enter\" in states"),
        (&state("[]"), "must be an object"),
        (&state(r#"{"action":"stop"}"#), "\"stop\" is no action"),
        (&state(r#"{"on_map_expire":"pause"}"#), "\"pause\" is no on_map_expire"),
        (&state(r#"{"when":"now"}"#), "has \"when\" in a state"),
    ] {
        let error = ControlMap::parse(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
}
