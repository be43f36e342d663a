//! Stops an update at every step of the disk, starts the client again, and sees what became of it.

use std::collections::VecDeque;

use super::{
    device::{Contents, Device, contents},
    engine,
    faults::{self, Fault, Loss, Random},
};
use crate::{machine::Call, modules::InstallError};

/// Ways to lose some of what was not synced, for each step.
const SEEDS: u64 = 2;

/// Random runs with several power cuts.
const RANDOM_RUNS: u64 = 60;

/// An update of one payload type.
pub(super) struct Update<'a> {
    /// A device with the old software.
    pub(super) device: &'a dyn Fn() -> Device,
    pub(super) artifact: &'a dyn Fn(&Device) -> Vec<u8>,
    /// What the update is about, and everything beside it that must not stay behind.
    pub(super) contents: &'a dyn Fn(&Device) -> Contents,
    /// What is the old or the new one even before the client is started again, below the device's
    /// folder.
    pub(super) atomic: Option<&'a str>,
}

type Step<'a> = &'a dyn Fn() -> Result<(), InstallError>;

/// Before and after an update.
struct Expected {
    old: Contents,
    new: Contents,
    at_any_time: [Contents; 2],
}

/// How far an update came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Download,
    Install,
    Commit,
    Cleanup,
    Over,
}

impl Update<'_> {
    /// What must be found.
    fn expected(&self) -> Expected {
        let device = (self.device)();
        let old = ((self.contents)(&device), self.atomic(&device));
        assert_eq!(self.run(&device), Stage::Over);
        let new = ((self.contents)(&device), self.atomic(&device));
        assert_ne!(old, new);
        Expected { old: old.0, new: new.0, at_any_time: [old.1, new.1] }
    }

    fn atomic(&self, device: &Device) -> Contents {
        self.atomic.map(|name| contents(&device.path(name))).unwrap_or_default()
    }

    fn check_atomic(&self, device: &Device, expected: &Expected, what: &str) {
        let found = self.atomic(device);
        assert!(expected.at_any_time.contains(&found), "{what}: {found:?}");
    }

    /// Goes through the update until something fails.
    fn run(&self, device: &Device) -> Stage {
        let steps: [(Stage, Step<'_>); 4] = [
            (Stage::Download, &|| device.download(&(self.artifact)(device))),
            (Stage::Install, &|| device.call(Call::ArtifactInstall)),
            (Stage::Commit, &|| device.call(Call::ArtifactCommit)),
            (Stage::Cleanup, &|| device.call(Call::Cleanup)),
        ];
        for (stage, step) in steps {
            if step().is_err() {
                return stage;
            }
        }
        device.clean_up().map_or(Stage::Cleanup, |()| Stage::Over)
    }

    /// Every single cut, with each kind of loss; then several in a row, at random.
    pub(super) fn survives_power_cuts(&self) {
        let expected = self.expected();
        let some = (0..SEEDS).map(Loss::SomeUnsynced);
        for loss in [Loss::Nothing, Loss::AllUnsynced, Loss::NewNames].into_iter().chain(some) {
            for steps in 0.. {
                let what = format!("power cut after {steps} steps, {loss:?} lost");
                let cut_forth =
                    self.cut_on_the_way_forth(Fault::PowerCut(loss), steps, &expected, &what);
                let cut_back =
                    self.cut_on_the_way_back(Fault::PowerCut(loss), steps, &expected, &what);
                if !cut_forth && !cut_back {
                    assert!(steps > 10, "the update has more steps than {steps}");
                    break;
                }
            }
        }
        let seed = u64::from(std::process::id());
        for run in 0..RANDOM_RUNS {
            self.several_cuts(seed + run, &expected);
        }
    }

    /// As [`survives_power_cuts`](Self::survives_power_cuts) for updates that take their time.
    pub(super) fn survives_few_power_cuts(&self) {
        let expected = self.expected();
        for steps in 0.. {
            let fault = Fault::PowerCut(Loss::AllUnsynced);
            let what = format!("power cut after {steps} steps of the disk");
            let cut_forth = self.cut_on_the_way_forth(fault, steps, &expected, &what);
            let cut_back = self.cut_on_the_way_back(fault, steps, &expected, &what);
            if !cut_forth && !cut_back {
                break;
            }
        }
    }

    /// Every call of docker fails once, or the power is cut before or after what it does.
    pub(super) fn survives_wrong_programs(&self) {
        let expected = self.expected();
        for how in ["fail", "before", "after"] {
            for call in 1.. {
                let what = format!("{how} in call {call} of docker");
                let device = (self.device)();
                engine::set_fault(&device, call, how);
                let stage = self.run(&device);
                if !engine::mend(&device) {
                    assert_eq!(stage, Stage::Over, "{what}");
                    break;
                }
                recover(&device, &mut way_back(stage))
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                self.check(&device, stage, &expected, &what);
            }
        }
    }

    /// Every step fails once; the update goes back, or had gone through.
    pub(super) fn survives_full_disks(&self) {
        let expected = self.expected();
        for steps in 0.. {
            let what = format!("the disk is full after {steps} steps");
            if !self.cut_on_the_way_forth(Fault::DiskFull, steps, &expected, &what) {
                break;
            }
        }
    }

    /// `false` if the update has fewer steps.
    fn cut_on_the_way_forth(
        &self,
        fault: Fault,
        steps: usize,
        expected: &Expected,
        what: &str,
    ) -> bool {
        let device = (self.device)();
        faults::arm(fault, steps, &device.path("attic"));
        let stage = self.run(&device);
        if !faults::disarm() {
            assert_eq!(stage, Stage::Over, "{what}");
            return false;
        }
        self.check_atomic(&device, expected, what);
        recover(&device, &mut way_back(stage)).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        self.check(&device, stage, expected, what);
        true
    }

    /// `false` if rolling back has fewer steps.
    fn cut_on_the_way_back(
        &self,
        fault: Fault,
        steps: usize,
        expected: &Expected,
        what: &str,
    ) -> bool {
        let device = (self.device)();
        device.install(&(self.artifact)(&device)).unwrap();
        let mut calls = way_back(Stage::Install);
        faults::arm(fault, steps, &device.path("attic"));
        let outcome = recover(&device, &mut calls);
        if !faults::disarm() {
            outcome.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            return false;
        }
        self.check_atomic(&device, expected, what);
        recover(&device, &mut calls)
            .unwrap_or_else(|error| panic!("{what}, on the way back: {error:?}"));
        self.check(&device, Stage::Install, expected, &format!("{what}, on the way back"));
        true
    }

    fn several_cuts(&self, seed: u64, expected: &Expected) {
        let mut random = Random(seed);
        let device = (self.device)();
        let mut arm = |most: usize| {
            let loss = Loss::SomeUnsynced(random.below(1 << 30) as u64);
            faults::arm(Fault::PowerCut(loss), random.below(most), &device.path("attic"));
        };
        arm(60);
        let stage = self.run(&device);
        let mut was_cut = faults::disarm();
        let mut calls = way_back(stage);
        for _ in 0..5 {
            if was_cut {
                arm(20);
                let outcome = recover(&device, &mut calls);
                was_cut = faults::disarm();
                self.check_atomic(&device, expected, &format!("seed {seed}"));
                assert!(was_cut || outcome.is_ok(), "seed {seed}: {outcome:?}");
            }
        }
        recover(&device, &mut calls).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        self.check(&device, stage, expected, &format!("seed {seed}"));
    }

    /// Nothing in between, nothing left behind, and the next update works.
    fn check(&self, device: &Device, stage: Stage, expected: &Expected, what: &str) {
        let Expected { old, new, .. } = expected;
        let is_new = matches!(stage, Stage::Cleanup | Stage::Over);
        let expected = if is_new { new } else { old };
        assert_eq!(&(self.contents)(device), expected, "{what}, in {stage:?}");
        assert_eq!(self.run(device), Stage::Over, "{what}: the next update");
        assert_eq!(&(self.contents)(device), new, "{what}: the next update");
    }
}

/// What the machine calls after a failure, or a restart, in this stage.
fn way_back(stage: Stage) -> VecDeque<Call> {
    use Call::{ArtifactFailure, ArtifactRollback, Cleanup};
    match stage {
        Stage::Over => VecDeque::new(),
        Stage::Download | Stage::Cleanup => [Cleanup].into(),
        Stage::Install | Stage::Commit => [ArtifactRollback, ArtifactFailure, Cleanup].into(),
    }
}

/// Makes the calls; one that fails stays with those that are left.
fn recover(device: &Device, calls: &mut VecDeque<Call>) -> Result<(), InstallError> {
    while let Some(call) = calls.front() {
        if *call == Call::Cleanup {
            // Ends with the work tree removed, so a second call does not come.
            device.call(Call::Cleanup)?;
            device.clean_up()?;
        } else {
            device.call(*call)?;
        }
        calls.pop_front();
    }
    Ok(())
}
