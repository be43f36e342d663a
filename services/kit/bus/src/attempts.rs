//! How often each event has failed here, so that a poison event ends.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rota_types::EventId;

/// The most events that are counted at a time. Beyond it counting starts over, which costs
/// some more attempts and nothing else.
const CAPACITY: usize = 10_000;

/// Counts failures by consumer and event. In memory: a restart grants a poison event another
/// round, never forgets it.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<(&'static str, EventId), u32>>);

impl Attempts {
    /// Counts one more failure and says how many there were.
    pub(crate) fn failed(&self, consumer: &'static str, event: EventId) -> u32 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= CAPACITY {
            counts.clear();
        }
        let count = counts.entry((consumer, event)).or_insert(0);
        *count += 1;
        *count
    }

    /// Forgets an event that is settled.
    pub(crate) fn settled(&self, consumer: &'static str, event: EventId) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&(consumer, event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_consumer_and_forgotten_when_settled() {
        let attempts = Attempts::default();
        let event = EventId::mint();
        assert_eq!(attempts.failed("a", event), 1);
        assert_eq!(attempts.failed("a", event), 2);
        assert_eq!(attempts.failed("b", event), 1);
        attempts.settled("a", event);
        assert_eq!(attempts.failed("a", event), 1);
    }
}
