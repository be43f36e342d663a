//! How long a download is tried: as long as it gets anywhere.

use std::time::Duration;

use crate::retry::Backoff;

/// The first pause after a connection that brought something.
const FIRST: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST: Duration = Duration::from_mins(1);

/// So many bytes are worth the full patience anew.
const PROGRESS_BYTES: u64 = 64 << 10;

/// A connection that brings less of the file in this time than [`PROGRESS_BYTES`] is as good as
/// broken. The slowest links in use bring ten times as much.
pub(super) const SLOW: Duration = Duration::from_mins(10);

/// What such a connection costs, besides the pause after it.
const SLOW_COST: Duration = Duration::from_mins(1);

/// Pauses between attempts, which add up to a limit; progress restores it.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    whole: Duration,
    slow: Duration,
    pauses: Backoff,
    /// Bytes since patience was last restored.
    gained: u64,
    /// Bytes on this connection, and how long they were waited for, since there were last enough.
    moved: u64,
    waited: Duration,
}

impl Patience {
    /// Gives up after pauses of so long in all, without progress between them, and takes a
    /// connection for broken that brings next to nothing in `slow`.
    pub(super) fn new(whole: Duration, slow: Duration) -> Self {
        let (gained, moved, waited) = (0, 0, Duration::ZERO);
        Self { whole, slow, pauses: pauses(whole), gained, moved, waited }
    }

    /// A connection is there.
    pub(super) fn connected(&mut self) {
        (self.moved, self.waited) = (0, Duration::ZERO);
    }

    /// Bytes came, of which so many were new, after waiting for them.
    pub(super) fn received(&mut self, bytes: u64, new: u64, waited: Duration) {
        self.moved += bytes;
        self.waited += waited;
        if self.moved >= PROGRESS_BYTES {
            self.connected();
        }
        self.gained += new;
        if self.gained >= PROGRESS_BYTES {
            self.gained = 0;
            self.pauses = pauses(self.whole);
        } else if new > 0 {
            self.pauses.start_over(FIRST);
        }
    }

    /// How long may still be waited for enough on this connection.
    pub(super) fn time_left(&self) -> Duration {
        self.slow.saturating_sub(self.waited)
    }

    /// Whether the connection brings next to nothing, which costs patience.
    pub(super) fn is_too_slow(&mut self) -> bool {
        let is_slow = self.time_left().is_zero();
        if is_slow {
            self.connected();
            self.pauses.spend(SLOW_COST);
        }
        is_slow
    }

    /// How long to wait before the next attempt, or `None` to give up.
    pub(super) fn next_pause(&mut self, retry_after: Option<Duration>) -> Option<Duration> {
        self.pauses.next_after(retry_after)
    }
}

fn pauses(whole: Duration) -> Backoff {
    Backoff::within(FIRST, LONGEST, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_mins(10);
    const KIB: u64 = 1024;

    fn pauses_left(patience: &mut Patience) -> Duration {
        std::iter::from_fn(|| patience.next_pause(None)).take(10_000).sum()
    }

    #[test]
    fn without_progress_the_pauses_grow_and_end() {
        let mut patience = Patience::new(WHOLE, SLOW);
        let first: Vec<_> = (0..3).filter_map(|_| patience.next_pause(None)).collect();
        assert_eq!(first.iter().map(Duration::as_millis).collect::<Vec<_>>(), [500, 1000, 2000]);
        assert_eq!(pauses_left(&mut patience) + Duration::from_millis(3500), WHOLE);
        assert_eq!(patience.next_pause(None), None);
    }

    #[test]
    fn a_link_that_drops_all_the_time_but_gets_on_is_never_given_up() {
        let mut patience = Patience::new(WHOLE, SLOW);
        for _ in 0..100_000 {
            assert_eq!(patience.next_pause(None), Some(FIRST));
            patience.received(KIB, KIB, Duration::ZERO);
        }
    }

    #[test]
    fn a_byte_for_each_connection_is_not_getting_on() {
        let mut patience = Patience::new(WHOLE, SLOW);
        let mut attempts = 0;
        while patience.next_pause(None).is_some() {
            patience.received(1, 1, Duration::ZERO);
            attempts += 1;
        }
        assert_eq!(attempts, 1200);
    }

    #[test]
    fn bytes_that_are_read_over_again_are_not_progress() {
        let mut patience = Patience::new(WHOLE, SLOW);
        let mut paused = Duration::ZERO;
        while let Some(pause) = patience.next_pause(None) {
            paused += pause;
            patience.received(PROGRESS_BYTES, 0, Duration::ZERO);
        }
        assert_eq!(paused, WHOLE);
    }

    #[test]
    fn a_trickle_ends_and_a_slow_link_does_not() {
        let minute = Duration::from_mins(1);
        let mut slow = Patience::new(WHOLE, SLOW);
        for number in 1..10_000 {
            // 2G at its worst: a kilobyte a second.
            slow.received(60 * KIB, 60 * KIB, minute);
            assert!(!slow.is_too_slow(), "{number}");
        }
        let mut trickle = Patience::new(WHOLE, SLOW);
        let given_up = (1..10_000).find(|_| {
            trickle.received(1, 1, minute);
            trickle.is_too_slow() && trickle.next_pause(None).is_none()
        });
        assert_eq!(given_up, Some(100));
    }

    #[test]
    fn a_wish_to_come_later_is_granted_once_beyond_the_patience() {
        let day = Duration::from_hours(24);
        let mut patience = Patience::new(WHOLE, SLOW);
        assert_eq!(patience.next_pause(Some(day)), Some(day));
        assert_eq!(patience.next_pause(Some(day)), None);
    }
}
