//! Whatever fails and whenever the power goes, an update ends, and ends honestly.

use proptest::prelude::*;

use super::{
    super::{Owed, RebootNeed},
    World,
    rows::Software,
};

const THINGS: &[&str] = &[
    "open",
    "DL",
    "DL>",
    "DL<",
    "PPFS",
    "DL!",
    "AI",
    "AI>",
    "AI<",
    "AI!",
    "NeedsArtifactReboot",
    "AR",
    "AR>",
    "AR<",
    "AR!",
    "AVR",
    "reboot",
    "report",
    "report-for-sure",
    "outcome",
    "log",
    "scripts-version",
    "AC",
    "AC>",
    "AC<",
    "AC!",
    "SupportsRollback",
    "ARB",
    "ARB>",
    "ARB<",
    "ARBR",
    "ARBR>",
    "ARBR<",
    "ARBR!",
    "AVRBR",
    "AF",
    "AF>",
    "AF<",
    "CL",
];

fn things() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    prop::collection::vec((prop::sample::select(THINGS), 1..40u32), 0..5)
}

proptest! {
    #[test]
    fn an_update_ends_in_a_state_that_was_reported(
        fail in things(),
        cut in things(),
        rollback: bool,
        reboot in prop::sample::select(&[RebootNeed::No, RebootNeed::Module, RebootNeed::System][..]),
        writes in prop_oneof![Just(u32::MAX), 0..30u32],
    ) {
        let is_undisturbed = fail.is_empty() && cut.is_empty() && writes == u32::MAX;
        // Behind the commit little can fail that does not make the software inconsistent.
        let fails_late = fail.iter().any(|(name, _)| *name == "CL") || writes != u32::MAX;
        let mut world = World { fail, cut, rollback, reboot, writes, ..World::default() };
        world.deploy();
        match world.statuses.chars().last() {
            Some('S') => prop_assert_eq!(world.software, Software::New),
            _ => prop_assert!(world.calls.iter().filter(|c| *c == "AC").count() <= 1),
        }
        if is_undisturbed {
            prop_assert!(world.statuses.ends_with('S'), "{}: {:?}", world.statuses, world.calls);
        }
        if world.statuses.ends_with('F') && !fails_late {
            prop_assert_ne!(world.software, Software::New);
        }
        if world.owed == Some(Owed::Success) {
            prop_assert_eq!(world.software, Software::New);
        }
        let committed = world.calls.iter().filter(|call| *call == "AC").count();
        prop_assert!(committed <= 1, "committed twice: {:?}", world.calls);
        let installed = world.calls.iter().filter(|call| *call == "AI").count();
        prop_assert!(installed <= 1, "installed twice: {:?}", world.calls);
        if world.software == Software::Old && writes == u32::MAX {
            prop_assert!(!world.statuses.contains('S'));
        }
    }
}
