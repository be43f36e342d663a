//! Every row of the table, in a world where steps are only names.

use super::{
    super::{MAX_SAVES, RebootNeed},
    ALWAYS, World,
    rows::{Condition, Mishap, Row, Software},
    table::ROWS,
};

fn world(row: &Row) -> World {
    let mut world = World::default();
    for condition in row.conditions() {
        match condition {
            Condition::Step { name, mishap, always } => {
                let times = if always { ALWAYS } else { 1 };
                match mishap {
                    Mishap::Cut => world.cut.push((name, times)),
                    Mishap::Fail | Mishap::Hang | Mishap::Junk => world.fail.push((name, times)),
                }
            }
            Condition::NoRollback => world.rollback = false,
            Condition::NoReboot => world.reboot = RebootNeed::No,
            Condition::Sizes(answer) => world.wants_sizes = answer == "Yes",
            Condition::Abort(status) => world.abort_at = Some(status),
            // How often to try is not the machine's business, but whether it helped.
            Condition::Outage(requests) => {
                world.fail.push(("report-for-sure", u32::from(requests > 20)));
            }
            Condition::Writes(writes) => world.writes = writes,
            Condition::Empty => world.empty = true,
            Condition::NoDownload | Condition::WrongDevice => world.fail.push(("open", 1)),
            Condition::ScriptsVersion => world.fail.push(("scripts-version", 1)),
        }
    }
    world
}

#[test]
fn every_row_of_the_table() {
    let mut wrong = Vec::new();
    let mut check = |row: &Row, mut world: World, calls: String| {
        world.deploy();
        let want = (calls, row.statuses.to_owned(), row.software);
        let got = (world.calls.join(" "), world.statuses, world.software);
        if got != want {
            let Row { number, conditions, .. } = row;
            wrong.push(format!("{number} ({conditions})\n  want {want:?}\n  got  {got:?}"));
        }
    };
    for row in ROWS {
        check(row, world(row), row.calls());
        if let Some(calls) = row.with_system_reboots() {
            check(row, World { reboot: RebootNeed::System, ..world(row) }, calls);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mender's table has 92 rows; this one leaves out what its page says.
#[test]
fn no_row_was_forgotten() {
    let numbers: Vec<u32> = ROWS.iter().map(|row| row.number).filter(|n| *n != 0).collect();
    let expected: Vec<u32> = (1..=90).filter(|number| *number != 84).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn no_update_goes_on_for_ever() {
    let stubborn = [
        "AVRBR",
        "AF",
        "AF>",
        "AF<",
        "ARB",
        "ARB>",
        "ARB<",
        "ARBR>",
        "ARBR<",
        "ARBR!",
        "CL",
        "SupportsRollback",
        "NeedsArtifactReboot",
    ];
    for cut in stubborn {
        for reboot in [RebootNeed::No, RebootNeed::Module, RebootNeed::System] {
            let fail = vec![("AVR", 1), ("AC", 1)];
            let mut world = World { fail, cut: vec![(cut, ALWAYS)], reboot, ..World::default() };
            world.deploy();
            assert_eq!(world.statuses.chars().last(), Some('F'), "{cut}, {reboot:?}");
            let calls = world.calls.iter().filter(|call| **call == cut).count();
            assert!(calls <= MAX_SAVES as usize, "{cut}, {reboot:?}: {calls} times");
        }
    }
}

/// A disk that cannot be written also cannot count how often the device was restarted.
#[test]
fn a_device_that_cannot_write_does_not_reboot_for_ever() {
    for reboot in [RebootNeed::No, RebootNeed::Module, RebootNeed::System] {
        for (fail, times) in [("none", 1), ("AI", 1), ("AVR", 1), ("AC", 1), ("AVRBR", ALWAYS)] {
            for writes in 0..20 {
                let fail = vec![(fail, times), ("AVR", u32::from(fail == "AVRBR"))];
                let mut world = World { fail, reboot, writes, ..World::default() };
                world.deploy();
                assert!(world.is_over, "{reboot:?}, {writes} writes: {:?}", world.calls);
            }
        }
    }
}

/// Room is made by the cleanup, and then there is room.
#[test]
fn what_could_not_be_recorded_is_recorded_after_the_cleanup() {
    let mut world = World { unwritable: Some("record"), ..World::default() };
    world.deploy();
    assert_eq!((world.statuses.as_str(), world.software), ("DIRIS", Software::New));
}
