//! Every workflow, step by step, and what follows a step: pure, without time or I/O.

use std::{str::FromStr, time::Duration};

/// Something that an event begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workflow {
    /// A device came into being or changed its status: tell those who keep a copy.
    ProvisionDevice,
    /// A device is to be removed: forget it everywhere, and at last where it came from.
    DecommissionDevice,
}

/// One call of another service. Carried out twice, it does what it does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// inventory takes in deviceauth's word, unless it has a newer one.
    ProvisionInInventory,
    /// deployments ends what is under way for the device, and forgets it.
    DecommissionInDeployments,
    /// inventory forgets the device, for good.
    DeleteInInventory,
    /// deviceauth, which still refuses its identity until now, forgets the device.
    DeleteInDeviceauth,
}

impl Workflow {
    const ALL: [Self; 2] = [Self::ProvisionDevice, Self::DecommissionDevice];

    /// The steps, in order.
    pub const fn steps(self) -> &'static [Step] {
        match self {
            Self::ProvisionDevice => &[Step::ProvisionInInventory],
            Self::DecommissionDevice => &[
                Step::DecommissionInDeployments,
                Step::DeleteInInventory,
                Step::DeleteInDeviceauth,
            ],
        }
    }

    /// The workflow's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProvisionDevice => "provision_device",
            Self::DecommissionDevice => "decommission_device",
        }
    }
}

impl Step {
    /// The step's word, for metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ProvisionInInventory => "provision_in_inventory",
            Self::DecommissionInDeployments => "decommission_in_deployments",
            Self::DeleteInInventory => "delete_in_inventory",
            Self::DeleteInDeviceauth => "delete_in_deviceauth",
        }
    }
}

/// A word that names no workflow of this binary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown workflow {0:?}")]
pub struct UnknownWorkflow(String);

impl FromStr for Workflow {
    type Err = UnknownWorkflow;

    fn from_str(word: &str) -> Result<Self, UnknownWorkflow> {
        Self::ALL
            .into_iter()
            .find(|workflow| workflow.word() == word)
            .ok_or_else(|| UnknownWorkflow(word.to_owned()))
    }
}

/// How an attempt at a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service did it.
    Done,
    /// The service could not be reached, or asked to come again.
    Unavailable,
    /// The service refused, or failed.
    Failed,
}

/// What is to be done with the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go on with this step.
    Step(usize),
    /// All steps are done.
    Finish,
    /// Try the step again after at most this long.
    Retry(Duration),
    /// Leave it to a person.
    GiveUp,
}

/// How often a step may fail by itself. With the pauses between them these are some minutes:
/// long enough for a bad release of a service to be rolled back.
const MAX_FAILURES: u32 = 10;

/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What follows an attempt at `step`. `attempts` and `failures` count those at this step,
/// this one included: of any kind, and those that failed by themselves.
pub fn next(
    workflow: Workflow,
    step: usize,
    attempts: u32,
    failures: u32,
    outcome: Outcome,
) -> Next {
    match outcome {
        Outcome::Done if step + 1 < workflow.steps().len() => Next::Step(step + 1),
        Outcome::Done => Next::Finish,
        Outcome::Failed if failures >= MAX_FAILURES => Next::GiveUp,
        Outcome::Failed | Outcome::Unavailable => {
            let doublings = attempts.saturating_sub(1).min(16);
            Next::Retry((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_each_other_and_end() {
        for workflow in Workflow::ALL {
            let mut step = 0;
            let mut done = vec![workflow.steps()[0]];
            while let Next::Step(following) = next(workflow, step, 1, 0, Outcome::Done) {
                step = following;
                done.push(workflow.steps()[step]);
            }
            assert_eq!(done, workflow.steps());
            assert_eq!(next(workflow, step, 1, 0, Outcome::Done), Next::Finish);
        }
    }

    #[test]
    fn a_device_leaves_deviceauth_last() {
        // Until then deviceauth can say that the device is being removed.
        let last = Workflow::DecommissionDevice.steps().last();
        assert_eq!(last, Some(&Step::DeleteInDeviceauth));
    }

    #[test]
    fn an_outage_is_waited_out_however_long() {
        let at = |attempts| next(Workflow::ProvisionDevice, 0, attempts, 0, Outcome::Unavailable);
        assert_eq!(at(1), Next::Retry(FIRST_PAUSE));
        assert_eq!(at(3), Next::Retry(FIRST_PAUSE * 4));
        assert_eq!(at(1_000_000), Next::Retry(LONGEST_PAUSE));
        assert_eq!(at(u32::MAX), Next::Retry(LONGEST_PAUSE));
    }

    #[test]
    fn what_keeps_failing_is_given_up() {
        let at = |failures| next(Workflow::ProvisionDevice, 0, failures, failures, Outcome::Failed);
        assert!((1..MAX_FAILURES).all(|failures| matches!(at(failures), Next::Retry(_))));
        assert_eq!(at(MAX_FAILURES), Next::GiveUp);
    }

    #[test]
    fn every_workflow_comes_back_from_its_word() {
        for workflow in Workflow::ALL {
            assert_eq!(workflow.word().parse(), Ok(workflow));
        }
        assert!("make_coffee".parse::<Workflow>().is_err());
    }
}
