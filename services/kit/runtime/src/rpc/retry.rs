//! When to try again, and when to let it be.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

/// Tries of one call altogether.
pub(super) const ATTEMPTS: u32 = 4;

/// The first pause is up to this long; each further one up to twice the previous.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// What one retry costs, in what one call brings in: one retry for ten calls.
const RETRY_COST: i64 = 10;
/// Retries that may be made in a row by a process that was quiet before.
const RESERVE: i64 = 50 * RETRY_COST;

/// Bounds the share of retries among all calls, so that a service in trouble is not buried
/// under the retries of all its callers.
pub(super) struct Budget(AtomicI64);

impl Budget {
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(RESERVE))
    }

    /// Counts a call.
    pub(super) fn deposit(&self) {
        let add = |held: i64| (held < RESERVE).then_some(held + 1);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes what a retry costs, if it is there.
    pub(super) fn withdraw(&self) -> bool {
        let take = |held: i64| (held >= RETRY_COST).then_some(held - RETRY_COST);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The pause before try number `attempt` (1 is the first retry): random, so that callers that
/// failed together do not come back together.
pub(super) fn pause(attempt: u32) -> Duration {
    let ceiling = FIRST_PAUSE * 2u32.saturating_pow(attempt.saturating_sub(1));
    ceiling.mul_f64(rand::random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_runs_out_and_is_refilled_by_calls() {
        let budget = Budget::new();
        let granted = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(granted, 50);
        (0..RETRY_COST).for_each(|_| budget.deposit());
        assert!(budget.withdraw());
        assert!(!budget.withdraw());
    }

    #[test]
    fn the_reserve_has_a_ceiling() {
        let budget = Budget::new();
        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!((0..1000).filter(|_| budget.withdraw()).count(), 50);
    }

    #[test]
    fn pauses_grow_and_stay_below_their_ceiling() {
        assert!(pause(1) <= FIRST_PAUSE);
        assert!(pause(3) >= FIRST_PAUSE * 2 && pause(3) <= FIRST_PAUSE * 4);
    }
}
