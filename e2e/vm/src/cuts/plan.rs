//! When the power is to fail: at a write, or some time after a line on the console.

use std::{ops::Range, time::Duration};

use anyhow::Result;
use rand::{RngExt, rngs::SmallRng};

use super::phase::{DOWNLOADING, Phase, REBOOTING};
use crate::{
    console::Mark,
    image::{BOOT, DATA, ROOT_A, ROOT_B},
    machine::{Machine, Writes},
};

/// How long the phases take and how much they write, on this machine today.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) download: Duration,
    pub(super) reboot: Duration,
    pub(super) commit: Duration,
    pub(super) until_reboot: Writes,
    pub(super) during_reboot: Writes,
    pub(super) until_end: Writes,
}

/// When the power is to fail.
#[derive(Debug)]
pub(super) struct Plan {
    /// The line that the rest counts from; none: from the update's beginning.
    after: Option<&'static str>,
    moment: Moment,
}

#[derive(Debug)]
enum Moment {
    /// So much later.
    Later(Duration),
    /// At the so-many-th write to this part of the disk, or a few requests later.
    AtWrite { part: Range<u64>, writes: u64, more_requests: u64 },
}

/// Stands for the line with which the new system starts.
const STARTS: &str = "vm: system ";

impl Plan {
    /// Draws a moment within a phase.
    pub(super) fn draw(phase: Phase, pace: Pace, random: &mut SmallRng) -> Self {
        let Pace { download, reboot, commit, until_reboot, during_reboot, until_end } = pace;
        let roots = ROOT_A.start..ROOT_B.end;
        let is_timed = random.random_bool(0.5);
        let (after, moment) = match phase {
            Phase::Download => (Some(DOWNLOADING), later(download / 4, random)),
            // By time it could not be hit: what is written waits in memory for the next sync.
            // The first update writes a whole system, the later ones what differs.
            Phase::Write => (None, at_write(roots, until_reboot.root / 5, random)),
            // The boot partition is written to only once in this time, to choose the new system.
            Phase::Switch if random.random_bool(0.7) => {
                (None, at_write(BOOT, until_reboot.boot, random))
            }
            Phase::Switch => (None, at_write(DATA, until_reboot.data, random)),
            Phase::Reboot if is_timed => (Some(REBOOTING), later(reboot, random)),
            Phase::Reboot => (Some(REBOOTING), at_write(BOOT, during_reboot.boot, random)),
            _ if is_timed => (Some(STARTS), later(commit, random)),
            _ if random.random_bool(0.5) => (Some(STARTS), at_write(BOOT, until_end.boot, random)),
            _ => (Some(STARTS), at_write(DATA, until_end.data, random)),
        };
        Self { after, moment }
    }

    /// Waits for it; `true` if the update had ended before.
    pub(super) async fn come(
        self,
        machine: &mut Machine<'_>,
        since: Mark,
        new: &str,
        deployment: &str,
    ) -> Result<bool> {
        match self.after {
            Some(STARTS) => {
                machine.line(since, &format!("{STARTS}{new} on")).await?;
            }
            Some(line) => {
                machine.line(since, line).await?;
            }
            None => {}
        }
        match self.moment {
            // The pause is the random moment itself, not a wait for something.
            Moment::Later(pause) => {
                tokio::time::sleep(pause).await;
                Ok(false)
            }
            Moment::AtWrite { part, writes, more_requests } => {
                let tripped = machine.disk.trip_at(part, writes, more_requests);
                let has_ended = tokio::select! {
                    // Not before the end: this update writes less than the measured one.
                    status = machine.ended(deployment) => { status?; true }
                    outcome = tripped => { outcome?; false }
                };
                machine.disk.disarm();
                Ok(has_ended)
            }
        }
    }
}

fn later(most: Duration, random: &mut SmallRng) -> Moment {
    Moment::Later(most.mul_f64(random.random_range(0.0..1.0)))
}

fn at_write(part: Range<u64>, measured: u64, random: &mut SmallRng) -> Moment {
    Moment::AtWrite {
        part,
        writes: random.random_range(1..=measured.max(1)),
        more_requests: random.random_range(0..4),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn moments_lie_within_what_was_measured() {
        let second = Duration::from_secs(1);
        let writes = |boot, root, data| Writes { boot, root, data };
        let pace = Pace {
            download: second,
            reboot: 2 * second,
            commit: 3 * second,
            until_reboot: writes(5, 100, 50),
            during_reboot: writes(6, 0, 7),
            until_end: writes(4, 0, 20),
        };
        let mut has_timed = false;
        let mut has_written = false;
        for seed in 0..200 {
            let phase = Phase::TARGETS[seed % Phase::TARGETS.len()];
            let mut random = SmallRng::seed_from_u64(seed as u64);
            match Plan::draw(phase, pace, &mut random).moment {
                Moment::Later(pause) => {
                    has_timed = true;
                    assert!(pause < 3 * second, "{phase}: {pause:?}");
                }
                Moment::AtWrite { part, writes, .. } => {
                    has_written = true;
                    let most = if part == BOOT {
                        6
                    } else if part == DATA {
                        50
                    } else {
                        100
                    };
                    assert!((1..=most).contains(&writes), "{phase}: {writes} in {part:?}");
                }
            }
        }
        assert!(has_timed && has_written);
    }
}
