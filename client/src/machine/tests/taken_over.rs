//! Rows 91 and 92 of the table: the update was begun by a client that left a map which controls
//! updates.

use super::{Stage, Update, World, recover, rows::Software};

/// A map without content changes nothing; under one that is not understood, the reboot has failed.
#[test]
fn a_reboot_under_the_control_of_somebody_unknown_has_failed() {
    for (stage, calls, statuses, software) in [
        (Stage::Reboot, "AVR AR< AC> AC AC< CL", "DIRIS", Software::New),
        (
            Stage::RebootRefused,
            "AR! ARB> ARB ARB< ARBR> ARBR AVRBR ARBR< AF> AF AF< CL",
            "DIRF",
            Software::Old,
        ),
    ] {
        let mut world = World { cut: vec![("AR", 1)], recovers: false, ..World::default() };
        world.deploy();
        assert_eq!(world.calls.last().map(String::as_str), Some("AR"));
        let left = world.journal.clone().expect("the power went in the reboot");
        world.calls.clear();
        world.recovers = true;
        world.run(recover(Update { stage, ..left }));
        assert_eq!((world.calls.join(" ").as_str(), world.software), (calls, software));
        assert_eq!(world.statuses, statuses);
    }
}
