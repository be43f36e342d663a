//! What Mender's client does in each situation, row by row: scripts and module calls in order,
//! reports, and the software recorded in the end.
//!
//! `X>`, `X<` and `X!` are the Enter, Leave and Error scripts of a state, a bare `X` is the module
//! call: `DL` Download, `PPFS` `ProvidePayloadFileSizes`, `AI` Install, `AR` Reboot, `AVR` Verify
//! reboot, `AC` Commit, `ARB` Rollback, `ARBR` Rollback reboot, `AVRBR` Verify rollback reboot,
//! `AF` Failure, `CL` Cleanup. Statuses are D(ownloading), I(nstalling), R(ebooting), S(uccess),
//! F(ailure). The numbers are those of Mender's own table of cases.

use super::{
    super::RebootNeed,
    ALWAYS,
    Software::{self, Inconsistent, New, Old},
    World,
};

struct Row(u32, &'static str, &'static str, &'static str, Software);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row(11, "",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC AC< CL",
        "DIRIS", New),
    Row(13, "cut DL, no-rollback",
        "DL> PPFS DL CL",
        "DF", Old),
    Row(14, "fail AI, no-rollback",
        "DL> PPFS DL DL< AI> AI AI! AF> AF AF< CL",
        "DIF", Inconsistent),
    Row(16, "fail AI",
        "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(17, "cut AI",
        "DL> PPFS DL DL< AI> AI ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(19, "cut AR",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC AC< CL",
        "DIRIS", New),
    Row(20, "fail AVR",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(22, "fail AVR, fail ARB",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< AF> AF AF< CL",
        "DIRF", Inconsistent),
    Row(23, "fail AVR, cut ARB",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(25, "fail AVR, cut ARBR",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(26, "fail AVR, fail AVRBR",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(28, "fail AI, fail AF",
        "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Inconsistent),
    Row(29, "fail AI, cut AF",
        "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF> AF AF< CL",
        "DIF", Old),
    Row(31, "fail AVR, fail CL",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(32, "fail AVR, cut CL",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL CL",
        "DIRF", Old),
    Row(34, "fail AC",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC AC! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRIF", Old),
    Row(35, "cut AC",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRIF", Old),
    Row(37, "cut AC, no-reboot",
        "DL> PPFS DL DL< AI> AI AI< AC> AC ARB> ARB ARB< AF> AF AF< CL",
        "DIIF", Old),
    Row(38, "fail DL>, no-rollback",
        "DL> DL!",
        "DF", Old),
    Row(40, "fail AI>, no-rollback",
        "DL> PPFS DL DL< AI> AI! AF> AF AF< CL",
        "DIF", Inconsistent),
    Row(41, "fail open",
        "DL> DL!",
        "DF", Old),
    Row(43, "fail AI>",
        "DL> PPFS DL DL< AI> AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(44, "cut AI>",
        "DL> PPFS DL DL< AI> ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(46, "cut AR>",
        "DL> PPFS DL DL< AI> AI AI< AR> AVR AR< AC> AC AC< CL",
        "DIRIS", New),
    Row(47, "fail AVR, fail ARB>",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Inconsistent),
    Row(49, "fail AVR, fail ARBR>",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Inconsistent),
    Row(50, "fail AVR, cut ARBR>",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(52, "fail AI, cut AF>",
        "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF> AF AF< CL",
        "DIF", Old),
    Row(53, "fail AC>",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRIF", Old),
    Row(55, "fail AC>, no-reboot",
        "DL> PPFS DL DL< AI> AI AI< AC> AC! ARB> ARB ARB< AF> AF AF< CL",
        "DIIF", Old),
    Row(56, "cut AC>, no-reboot",
        "DL> PPFS DL DL< AI> AI AI< AC> ARB> ARB ARB< AF> AF AF< CL",
        "DIIF", Old),
    Row(58, "cut DL<, no-rollback",
        "DL> PPFS DL DL< CL",
        "DF", Old),
    Row(59, "fail AI<, no-rollback",
        "DL> PPFS DL DL< AI> AI AI< AI! AF> AF AF< CL",
        "DIF", Inconsistent),
    Row(61, "fail AI<",
        "DL> PPFS DL DL< AI> AI AI< AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(62, "cut AI<",
        "DL> PPFS DL DL< AI> AI AI< ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIF", Old),
    Row(64, "cut AR<",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(65, "fail AVR, fail ARB<",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Inconsistent),
    Row(67, "fail AVR, fail ARBR<",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< ARBR! AF> AF AF< CL",
        "DIRF", Inconsistent),
    Row(68, "fail AVR, cut ARBR<",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AVRBR ARBR< AF> AF AF< CL",
        "DIRF", Old),
    Row(70, "fail AI, cut AF<",
        "DL> PPFS DL DL< AI> AI AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< AF> AF AF< CL",
        "DIF", Old),
    Row(71, "fail AC<",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< AC> AC AC< AC! CL",
        "DIRIF", Inconsistent),
    Row(73, "fail AC<, no-reboot",
        "DL> PPFS DL DL< AI> AI AI< AC> AC AC< AC! CL",
        "DIIF", Inconsistent),
    Row(74, "cut AC<, no-reboot",
        "DL> PPFS DL DL< AI> AI AI< AC> AC AC< AC< CL",
        "DIIS", New),
    Row(76, "fail AVR, always cut AF",
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF> AF AF> AF AF> AF AF> AF AF> AF AF> AF",
        "DIRF", Inconsistent),
    Row(77, "fail DL",
        "DL> PPFS DL DL! CL",
        "DF", Old),
    Row(88, "always fail NeedsArtifactReboot",
        "DL> PPFS DL DL< AI> AI AI< ARB> ARB ARB< AF> AF AF< CL",
        "DIF", Inconsistent),
    Row(89, "always fail AI, always fail SupportsRollback",
        "DL> PPFS DL DL< AI> AI AI! AF> AF AF< CL",
        "DIF", Inconsistent),
];

fn world(conditions: &'static str) -> World {
    let mut world = World::default();
    for condition in conditions.split(", ").filter(|c| !c.is_empty()) {
        let (times, condition) = match condition.strip_prefix("always ") {
            Some(rest) => (ALWAYS, rest),
            None => (1, condition),
        };
        match condition.split_once(' ') {
            Some(("fail", name)) => world.fail.push((name, times)),
            Some(("cut", name)) => world.cut.push((name, times)),
            _ if condition == "no-rollback" => world.rollback = false,
            _ if condition == "no-reboot" => world.reboot = RebootNeed::No,
            _ => panic!("unknown condition {condition:?}"),
        }
    }
    world
}

#[test]
fn every_row_of_the_matrix() {
    let mut wrong = Vec::new();
    for Row(number, conditions, calls, statuses, software) in ROWS {
        let mut world = world(conditions);
        world.deploy();
        let got = (world.calls.join(" "), world.statuses, world.software);
        if got != ((*calls).to_owned(), (*statuses).to_owned(), *software) {
            wrong.push(format!("{number} ({conditions})\n  want {calls} {statuses} {software:?}\n  got  {} {} {:?}", got.0, got.1, got.2));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn row_75_verifies_a_rollback_reboot_21_times_and_no_more() {
    let mut world = World { fail: vec![("AVR", 1), ("AVRBR", ALWAYS)], ..World::default() };
    world.deploy();
    assert_eq!(world.calls.iter().filter(|call| *call == "AVRBR").count(), 21);
    assert_eq!((world.statuses.as_str(), world.software), ("DIRF", Inconsistent));
}

#[test]
fn row_80_software_that_cannot_reach_the_server_is_rolled_back() {
    let mut world = World { fail: vec![("report-for-sure", 1)], ..World::default() };
    world.deploy();
    assert_eq!(
        world.calls.join(" "),
        "DL> PPFS DL DL< AI> AI AI< AR> AR AVR AR< \
         ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL"
    );
    assert_eq!((world.statuses.as_str(), world.software), ("DIRF", Old));
}

#[test]
fn rows_81_to_83_an_abort_stops_at_once_or_rolls_back() {
    for (at, calls, statuses) in [
        ('D', "", "DF"),
        ('I', "DL> PPFS DL DL< CL", "DIF"),
        (
            'R',
            "DL> PPFS DL DL< AI> AI AI< ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
            "DIRF",
        ),
    ] {
        let mut world = World { abort_at: Some(at), ..World::default() };
        world.deploy();
        assert_eq!((world.calls.join(" ").as_str(), world.software), (calls, Old), "at {at}");
        assert_eq!(world.statuses, statuses, "at {at}");
    }
}

#[test]
fn rows_85_and_86_a_journal_that_cannot_be_written_stops_the_update() {
    for (writes, calls, statuses) in [
        (0, "DL!", "DF"),
        (2, "DL> PPFS DL DL< AI! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL", "DIF"),
    ] {
        let mut world = World { writes, ..World::default() };
        world.deploy();
        assert_eq!((world.calls.join(" ").as_str(), world.software), (calls, Old));
        assert_eq!(world.statuses, statuses);
    }
}

#[test]
fn row_90_an_artifact_without_payload_only_changes_the_record() {
    let mut world = World { empty: true, ..World::default() };
    world.deploy();
    assert_eq!(world.calls.join(" "), "DL> DL<");
    assert_eq!((world.statuses.as_str(), world.software), ("DS", New));
}

#[test]
fn scripts_of_an_unknown_version_prevent_the_commit() {
    let mut world = World { fail: vec![("scripts-version", 1)], ..World::default() };
    world.reboot = RebootNeed::No;
    world.deploy();
    assert_eq!(
        world.calls.join(" "),
        "DL> PPFS DL DL< AI> AI AI< AC> AC! ARB> ARB ARB< AF> AF AF< CL"
    );
    assert_eq!(world.software, Old);
}

/// Mender's client reports a failure here although the new software is committed.
#[test]
fn a_power_cut_in_the_cleanup_of_a_success_stays_a_success() {
    let mut world = World { cut: vec![("CL", 1)], ..World::default() };
    world.deploy();
    assert_eq!((world.statuses.as_str(), world.software), ("DIRIS", New));
}

#[test]
fn a_failing_cleanup_is_reported_but_keeps_the_name() {
    let mut world = World { fail: vec![("CL", 1)], ..World::default() };
    world.deploy();
    assert_eq!((world.statuses.as_str(), world.software), ("DIRIF", New));
}
