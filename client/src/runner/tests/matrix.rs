//! Every row of the table, through the real runner with real programs, folders and journal.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::scripted::Device;
use crate::machine::{
    RebootNeed,
    tests::{
        rows::{Condition, Row, Software},
        table::ROWS,
    },
};

/// Rows wait for processes more than they compute.
const AT_ONCE: usize = 8;

#[test]
fn every_row_of_the_table_on_a_device_of_scripts() {
    let mut devices = Vec::new();
    for row in ROWS {
        devices.push((row, RebootNeed::Module, row.calls()));
        if let Some(calls) = row.with_system_reboots() {
            devices.push((row, RebootNeed::System, calls));
        }
    }
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((row, reboot, calls)) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(difference) = check(row, *reboot, calls) {
                wrong.lock().unwrap().push(difference);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(row: &Row, reboot: RebootNeed, calls: &str) -> Result<(), String> {
    let Row { number, conditions, statuses, software, .. } = row;
    let mut device = Device::new(row, reboot);
    let outcome = device.run();
    let name = match software {
        Software::New => "new",
        Software::Old => "old",
        Software::Inconsistent | Software::InconsistentNew => "new_INCONSISTENT",
    };
    let version = match software {
        Software::New | Software::InconsistentNew => "new",
        Software::Old | Software::Inconsistent => "old",
    };
    let want = (calls, *statuses, (name, version));
    let (got_calls, got_statuses) = (device.calls(), device.statuses());
    let (got_name, got_version) = device.software();
    let got = (got_calls.as_str(), got_statuses.as_str(), (&*got_name, &*got_version));
    let what = format!("row {number} ({conditions}), {reboot:?} reboots");
    if got != want || outcome.is_err() {
        return Err(format!("{what}\n  want {want:?}\n  got  {got:?} {outcome:?}"));
    }
    // A device that says what it runs must be right.
    let has_payload = !row.conditions().any(|condition| condition == Condition::Empty);
    let is_sure = matches!(software, Software::New | Software::Old) && has_payload;
    match device.installed() {
        installed if is_sure && installed != name => Err(format!("{what}: runs {installed}")),
        _ => Ok(()),
    }
}
