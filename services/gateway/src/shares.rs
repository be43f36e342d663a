//! Who holds how much of what there is only so much of.
//!
//! Nobody gets more who holds more than is left: one alone gets half that way, the next half of
//! the rest, and so on. A fixed part would have to be small to leave something to many.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What each holds who holds something.
pub(crate) struct Shares<K>(Arc<Held<K>>);

type Held<K> = Mutex<HashMap<K, usize>>;

/// One of somebody's, until it is dropped.
pub(crate) struct Share<K: Eq + Hash> {
    held: Arc<Held<K>>,
    holder: K,
}

impl<K: Copy + Eq + Hash> Shares<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// One more for `holder`, unless they hold more than `left` already.
    pub(crate) fn take(&self, holder: K, left: usize) -> Option<Share<K>> {
        let mut held = lock(&self.0);
        let count = held.entry(holder).or_default();
        // Who holds nothing is never refused, so that no entry of nothing stays.
        if *count > left {
            return None;
        }
        *count += 1;
        Some(Share { held: Arc::clone(&self.0), holder })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        if let Some(count) = held.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.holder);
            }
        }
    }
}

fn lock<K>(held: &Held<K>) -> MutexGuard<'_, HashMap<K, usize>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 12;

    /// Takes as much as one can get of what `others` have left.
    fn greedy(shares: &Shares<u8>, holder: u8, others: usize) -> Vec<Share<u8>> {
        let mut held = Vec::new();
        while let Some(left) = (PLACES - others - held.len()).checked_sub(1) {
            let Some(share) = shares.take(holder, left) else { break };
            held.push(share);
        }
        held
    }

    #[test]
    fn one_gets_half_and_the_next_half_of_the_rest() {
        let shares = Shares::new();
        let first = greedy(&shares, 1, 0);
        assert_eq!(first.len(), PLACES / 2);
        let second = greedy(&shares, 2, first.len());
        assert_eq!(second.len(), PLACES / 4);
        assert_eq!(greedy(&shares, 3, first.len() + second.len()).len(), 2);
    }

    #[test]
    fn where_there_is_one_place_it_can_be_had() {
        assert!(Shares::new().take(1, 0).is_some());
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let shares = Shares::new();
        let held = greedy(&shares, 1, 0);
        assert!(shares.take(1, 0).is_none());
        drop(held);
        assert!(lock(&shares.0).is_empty());
        assert!(shares.take(1, 0).is_some());
    }
}
