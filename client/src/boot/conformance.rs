//! What every boot loader must do, tried on all of them: trials that happen once, commits that last,
//! ways back, and power cuts in the middle of every change.
//!
//! A bench is the boot loader's own state, written by our code as on a device, together with a small
//! model of what the boot loader does with it at a start.

use super::{BootError, BootLoader, BootState, Slot};

/// A device's boot loader.
pub(super) trait Bench {
    /// All that survives a power cut.
    type Disk: Clone;

    /// A device that runs from A and was never updated.
    fn new() -> Self;
    /// Hands our side of the boot loader to somebody, as on the running system.
    fn with<T>(&mut self, work: impl FnOnce(&mut dyn BootLoader) -> T) -> T;
    /// The device is started; the answer is the system that runs then.
    fn start(&mut self) -> Slot;
    fn disk(&self) -> Self::Disk;
    fn put(&mut self, disk: Self::Disk);
    /// Makes a change, and tells what the disk looks like if the power fails in the middle of it:
    /// after each write, and with half of each.
    fn cuts(&mut self, change: Change) -> Vec<Self::Disk>;
}

pub(super) type Change = fn(&mut dyn BootLoader) -> Result<(), BootError>;

const TRY_B: Change = |loader| loader.try_once(Slot::B);
const COMMIT: Change = |loader| loader.commit();
const SELECT_A: Change = |loader| loader.select(Slot::A);

fn state<B: Bench>(bench: &mut B) -> BootState {
    bench.with(|loader| loader.state()).unwrap()
}

fn change<B: Bench>(bench: &mut B, change: Change) {
    bench.with(change).unwrap();
}

/// Starts the device, and makes sure that our side knows which system runs.
fn start<B: Bench>(bench: &mut B) -> Slot {
    let started = bench.start();
    assert_eq!(state(bench).selected, started);
    started
}

fn settled(selected: Slot) -> BootState {
    BootState { selected, is_trial: false }
}

fn on_trial(selected: Slot) -> BootState {
    BootState { selected, is_trial: true }
}

pub(super) fn a_trial_happens_once<B: Bench>() {
    let mut bench = B::new();
    assert_eq!(start(&mut bench), Slot::A);
    assert_eq!(state(&mut bench), settled(Slot::A));
    for _ in 0..2 {
        change(&mut bench, TRY_B);
        assert_eq!(state(&mut bench), on_trial(Slot::B));
        assert_eq!(start(&mut bench), Slot::B);
        assert_eq!(state(&mut bench), on_trial(Slot::B));
        for _ in 0..2 {
            assert_eq!(start(&mut bench), Slot::A);
            assert_eq!(state(&mut bench), settled(Slot::A));
        }
    }
}

pub(super) fn what_is_committed_stays<B: Bench>() {
    let mut bench = B::new();
    assert_eq!(start(&mut bench), Slot::A);
    for slot in [Slot::B, Slot::A, Slot::B] {
        bench.with(|loader| loader.try_once(slot)).unwrap();
        assert_eq!(start(&mut bench), slot);
        change(&mut bench, COMMIT);
        assert_eq!(state(&mut bench), settled(slot));
        for _ in 0..3 {
            assert_eq!(start(&mut bench), slot);
            assert_eq!(state(&mut bench), settled(slot));
        }
    }
}

/// The places from which there must be a way back to A.
fn waypoints<B: Bench>() -> [B; 4] {
    let armed = || {
        let mut bench = B::new();
        bench.start();
        change(&mut bench, TRY_B);
        bench
    };
    let tried = || {
        let mut bench = armed();
        bench.start();
        bench
    };
    let committed = || {
        let mut bench = tried();
        change(&mut bench, COMMIT);
        bench
    };
    let restarted = || {
        let mut bench = committed();
        bench.start();
        bench
    };
    [armed(), tried(), committed(), restarted()]
}

pub(super) fn there_is_a_way_back_from_everywhere<B: Bench>() {
    for mut bench in waypoints::<B>() {
        for _ in 0..2 {
            change(&mut bench, SELECT_A);
            assert_eq!(state(&mut bench), settled(Slot::A));
        }
        for _ in 0..2 {
            assert_eq!(start(&mut bench), Slot::A);
            assert_eq!(state(&mut bench), settled(Slot::A));
        }
    }
}

/// Where the next three starts lead.
fn future<B: Bench>(bench: &mut B) -> [Slot; 3] {
    [start(bench), start(bench), start(bench)]
}

pub(super) fn a_power_cut_leaves_the_old_or_the_new<B: Bench>() {
    let mut changes: Vec<(B, Change)> =
        waypoints::<B>().into_iter().map(|bench| (bench, SELECT_A)).collect();
    let [_, tried, ..] = waypoints::<B>();
    let mut idle = B::new();
    idle.start();
    changes.extend([(idle, TRY_B), (tried, COMMIT)]);
    for (number, (mut bench, change)) in changes.into_iter().enumerate() {
        let before = bench.disk();
        let old = future(&mut bench);
        bench.put(before.clone());
        let cuts = bench.cuts(change);
        let new = future(&mut bench);
        assert!(cuts.len() > 1, "change {number} is seen in the middle");
        for (place, cut) in cuts.into_iter().enumerate() {
            bench.put(cut);
            let found = future(&mut bench);
            assert!(found == old || found == new, "change {number}, cut {place}: {found:?}");
            // And the device can be updated as if nothing had happened.
            let other = found[2].other();
            bench.with(|loader| loader.try_once(other)).unwrap();
            assert_eq!(start(&mut bench), other, "change {number}, cut {place}");
            self::change(&mut bench, COMMIT);
            assert_eq!(future(&mut bench), [other; 3], "change {number}, cut {place}");
        }
    }
}

macro_rules! conforms {
    ($bench:ty) => {
        #[test]
        fn a_trial_happens_once() {
            $crate::boot::conformance::a_trial_happens_once::<$bench>();
        }

        #[test]
        fn what_is_committed_stays() {
            $crate::boot::conformance::what_is_committed_stays::<$bench>();
        }

        #[test]
        fn there_is_a_way_back_from_everywhere() {
            $crate::boot::conformance::there_is_a_way_back_from_everywhere::<$bench>();
        }

        #[test]
        fn a_power_cut_leaves_the_old_or_the_new() {
            $crate::boot::conformance::a_power_cut_leaves_the_old_or_the_new::<$bench>();
        }
    };
}
pub(super) use conforms;
