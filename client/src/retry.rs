//! How long to wait before trying again, and when to give up.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

const FIRST: Duration = Duration::from_mins(1);

/// Reports are tried again sooner.
const FIRST_REPORT: Duration = Duration::from_secs(5);

/// However short the configured pauses: a server may take so long to restart.
const LEAST_PATIENCE: Duration = Duration::from_mins(3);

/// A configured pause of zero must not become a busy loop.
const SHORTEST: Duration = Duration::from_secs(1);

/// A date that is near leaves no tenth to spread over.
const LEAST_WINDOW: Duration = Duration::from_secs(10);

/// Mender's clients use each pause three times before they double it.
const REPEATS: u32 = 3;

/// Growing pauses with an end.
#[derive(Clone, Debug)]
pub struct Backoff {
    pause: Duration,
    cap: Duration,
    repeats: u32,
    /// How often the current pause was used.
    used: u32,
    limit: Limit,
}

#[derive(Clone, Debug)]
enum Limit {
    Tries(u32),
    /// Until the longest pause was used as often as every other.
    CapUsed,
    Total(Duration),
}

impl Backoff {
    /// For polls: 60 s, each pause three times, doubled up to `cap`, where it ends; or `count`
    /// pauses if that is not 0.
    pub fn polls(cap: Duration, count: u32) -> Self {
        let limit = if count > 0 { Limit::Tries(count) } else { Limit::CapUsed };
        let cap = cap.max(SHORTEST);
        let pause = FIRST.min(cap);
        Self { pause, cap, repeats: REPEATS, used: 0, limit }
    }

    /// For what must get through: lasts as long as [`polls`](Self::polls), and three minutes at
    /// least, but tries more often in the beginning.
    pub fn reports(cap: Duration, count: u32) -> Self {
        let total = Self::polls(cap, count).total();
        let cap = cap.max(SHORTEST);
        Self::within(FIRST_REPORT.min(cap), cap, total.max(LEAST_PATIENCE))
    }

    /// Pauses that double from `first` to `cap` and add up to `total`.
    pub fn within(first: Duration, cap: Duration, total: Duration) -> Self {
        Self { pause: first, cap, repeats: 1, used: 0, limit: Limit::Total(total) }
    }

    /// The next pause, but not less than somebody asked for; that counts as well where pauses have
    /// a limit in all, so that the last of them may exceed it.
    pub fn next_after(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let pause = self.next()?;
        let asked = asked.unwrap_or_default();
        self.spend(asked.saturating_sub(pause));
        Some(pause.max(asked))
    }

    /// Makes the next pause a short one again; those that were used stay used.
    pub fn start_over(&mut self, first: Duration) {
        (self.pause, self.used) = (first, 0);
    }

    /// What all pauses that are left add up to. Those of the greatest length are counted together:
    /// a number of tries may stand for "for ever".
    fn total(mut self) -> Duration {
        let mut total = Duration::ZERO;
        while self.pause < self.cap {
            let Some(pause) = self.next() else { return total };
            total += pause;
        }
        let rest = match self.limit {
            Limit::Tries(left) => self.cap.saturating_mul(left),
            Limit::CapUsed => self.cap * (self.repeats - self.used),
            Limit::Total(left) => left,
        };
        total.saturating_add(rest)
    }

    /// Takes from what the pauses may add up to.
    pub fn spend(&mut self, time: Duration) {
        if let Limit::Total(left) = &mut self.limit {
            *left = left.saturating_sub(time);
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    /// The next pause, or `None` to give up.
    fn next(&mut self) -> Option<Duration> {
        if self.used == self.repeats && self.pause < self.cap {
            self.pause = (self.pause * 2).min(self.cap);
            self.used = 0;
        }
        let pause = match &mut self.limit {
            Limit::Tries(0) => return None,
            Limit::Tries(left) => {
                *left -= 1;
                self.pause
            }
            Limit::CapUsed if self.used == self.repeats => return None,
            Limit::CapUsed => self.pause,
            Limit::Total(left) if left.is_zero() => return None,
            Limit::Total(left) => {
                let pause = self.pause.min(*left);
                *left -= pause;
                pause
            }
        };
        self.used = (self.used + 1).min(self.repeats);
        Some(pause)
    }
}

/// Spreads a fleet out: up to a tenth more or less.
pub fn jitter(pause: Duration) -> Duration {
    spread(pause, 0.1)
}

/// Spreads devices out that lost their connections together: up to a half more or less.
pub fn scatter(pause: Duration) -> Duration {
    spread(pause, 0.5)
}

/// Spreads devices out that were told when to come again, all perhaps for the same moment: up to a
/// tenth later, and up to ten seconds where that is more. Never earlier.
pub fn not_before(pause: Duration) -> Duration {
    let window = pause.mul_f64(0.1).max(LEAST_WINDOW.min(pause));
    pause + window.mul_f64(chance().unwrap_or_default())
}

fn spread(pause: Duration, share: f64) -> Duration {
    // Without randomness there is no spread, which is no reason to stop.
    let Some(chance) = chance() else { return pause };
    pause.mul_f64(1.0 - share + 2.0 * share * chance)
}

/// A number from 0 to 1.
fn chance() -> Option<f64> {
    let mut bytes = [0; 2];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: Backoff) -> Vec<u64> {
        backoff.map(|pause| pause.as_secs()).collect()
    }

    const DEFAULT_CAP: Duration = Duration::from_mins(5);

    #[test]
    fn polls_pause_as_those_of_menders_client() {
        assert_eq!(
            seconds(Backoff::polls(DEFAULT_CAP, 0)),
            [60, 60, 60, 120, 120, 120, 240, 240, 240, 300, 300, 300]
        );
        assert_eq!(seconds(Backoff::polls(DEFAULT_CAP, 5)), [60, 60, 60, 120, 120]);
        assert_eq!(seconds(Backoff::polls(DEFAULT_CAP, 14))[11..], [300, 300, 300]);
        assert_eq!(seconds(Backoff::polls(Duration::from_secs(5), 0)), [5, 5, 5]);
    }

    #[test]
    fn reports_last_as_long_and_start_sooner() {
        let total: Duration = Backoff::reports(DEFAULT_CAP, 0).sum();
        assert_eq!(total, Duration::from_mins(3 * (1 + 2 + 4 + 5)));
        let short = seconds(Backoff::reports(Duration::from_secs(5), 0));
        assert_eq!((short[0], short.iter().sum()), (5, 180));
        let hasty = seconds(Backoff::reports(Duration::from_secs(1), 1000));
        assert_eq!((hasty[0], hasty.len()), (1, 1000));
        assert_eq!(seconds(Backoff::reports(Duration::ZERO, 0)).len(), 180);
    }

    #[test]
    fn a_number_of_tries_that_stands_for_ever_is_added_up_at_once() {
        for cap in [0, 5, 60, 100, 300, 480, 100_000].map(Duration::from_secs) {
            for count in [0, 1, 3, 5, 14, 100] {
                let polls = Backoff::polls(cap, count);
                let one_by_one = polls.clone().sum::<Duration>();
                assert_eq!(polls.total(), one_by_one, "{count} tries up to {cap:?}");
            }
        }
        let century = Duration::from_secs(u64::from(u32::MAX));
        let started = std::time::Instant::now();
        for cap in [DEFAULT_CAP, century] {
            let first = Backoff::reports(cap, u32::MAX).next();
            assert_eq!(first, Some(FIRST_REPORT));
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn a_wish_to_come_later_is_granted_and_counts() {
        let minutes = Duration::from_mins;
        let mut backoff = Backoff::within(minutes(1), minutes(1), minutes(10));
        assert_eq!(backoff.next_after(Some(Duration::from_secs(5))), Some(minutes(1)));
        assert_eq!(backoff.next_after(Some(minutes(4))), Some(minutes(4)));
        assert_eq!(backoff.next_after(Some(minutes(60))), Some(minutes(60)));
        assert_eq!(backoff.next_after(None), None);
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let pause = Duration::from_secs(100);
        let spread: Vec<_> = (0..50).map(|_| jitter(pause)).collect();
        let allowed = Duration::from_millis(89_999)..Duration::from_millis(110_001);
        assert!(spread.iter().all(|pause| allowed.contains(pause)), "{spread:?}");
        assert!(spread.iter().any(|other| *other != spread[0]));
    }
}
