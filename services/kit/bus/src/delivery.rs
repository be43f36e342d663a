//! One delivery of one event to one consumer: deadline, panics, counting, burial.

use std::{error::Error, fmt::Write, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;

use crate::{DeadLetter, Event, HandlerError, Subscription, attempts::Attempts};

/// How often an event may fail at one consumer before it is buried. With the delays between
/// attempts that is about ten minutes, long enough to survive a bad deployment's rollback.
pub const MAX_ATTEMPTS: u32 = 12;

/// How long a handler may take. Beyond it the attempt has failed.
pub const HANDLER_DEADLINE: Duration = Duration::from_secs(30);

/// What is to become of an event after a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Handled or buried: it must not come again.
    Settled,
    /// It must come again, after this many failures (0: it was not the event's fault).
    Again {
        /// Failures so far, for the delay.
        failures: u32,
    },
}

/// The delay before an event comes again: doubling from 50 ms with its `failures`, at most
/// two minutes. In an outage (`failures` is 0) it doubles with the `deliveries`, at most five
/// seconds: the end of the outage should not go unnoticed for long.
pub fn retry_delay(failures: u32, deliveries: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_mins(2);
    const LONGEST_IN_OUTAGE: Duration = Duration::from_secs(5);
    let (count, longest) =
        if failures > 0 { (failures, LONGEST) } else { (deliveries, LONGEST_IN_OUTAGE) };
    FIRST.saturating_mul(2_u32.saturating_pow(count.saturating_sub(1))).min(longest)
}

/// Delivers one event.
pub(crate) async fn deliver(
    subscription: &Subscription,
    attempts: &Attempts,
    event: &Event,
) -> Outcome {
    let consumer = subscription.consumer;
    let result = match run(subscription, event).await {
        Ok(()) => {
            attempts.settled(consumer, event.id);
            metrics::counter!("rota_bus_handled_total", "consumer" => consumer).increment(1);
            return Outcome::Settled;
        }
        Err(error) => error,
    };
    metrics::counter!("rota_bus_failures_total", "consumer" => consumer).increment(1);
    let reason = chain(&result);
    let failures = match &result {
        HandlerError::Unavailable(_) => {
            tracing::warn!(consumer, event = %event.id, reason, "event waits");
            return Outcome::Again { failures: 0 };
        }
        HandlerError::Failed(_) => attempts.failed(consumer, event.id),
        HandlerError::Poison(_) => MAX_ATTEMPTS,
    };
    tracing::warn!(consumer, event = %event.id, subject = %event.kind, failures, reason, "event failed");
    if failures < MAX_ATTEMPTS {
        return Outcome::Again { failures };
    }
    let payload = serde_json::to_vec(event).unwrap_or_default();
    let letter = DeadLetter { consumer, event: Some(event.clone()), payload, reason };
    match bury(subscription, &letter).await {
        Outcome::Settled => {
            attempts.settled(consumer, event.id);
            Outcome::Settled
        }
        Outcome::Again { .. } => Outcome::Again { failures },
    }
}

/// Gives an event up, durably; until that has worked the event is not settled.
pub(crate) async fn bury(subscription: &Subscription, letter: &DeadLetter) -> Outcome {
    let consumer = subscription.consumer;
    let burial = AssertUnwindSafe(subscription.handler.bury(letter)).catch_unwind();
    match tokio::time::timeout(HANDLER_DEADLINE, burial).await {
        Ok(Ok(Ok(()))) => {
            metrics::counter!("rota_bus_dead_letters_total", "consumer" => consumer).increment(1);
            tracing::error!(consumer, event = ?letter.event.as_ref().map(|event| event.id),
                reason = letter.reason, "event given up and kept as a dead letter");
            Outcome::Settled
        }
        Ok(Ok(Err(error))) => {
            tracing::error!(consumer, reason = chain(&error), "dead letter cannot be kept");
            Outcome::Again { failures: 1 }
        }
        Ok(Err(_)) | Err(_) => {
            tracing::error!(consumer, "dead letter cannot be kept: no answer");
            Outcome::Again { failures: 1 }
        }
    }
}

/// Runs the handler in the trace of the event's cause; a panic and a missed deadline are
/// failures like others.
async fn run(subscription: &Subscription, event: &Event) -> Result<(), HandlerError> {
    let span = tracing::info_span!(
        "event",
        consumer = subscription.consumer,
        id = %event.id,
        kind = %format_args!("{}.{}", event.entity.kind, event.kind),
        tenant = %event.tenant,
        request_id = event.request_id,
    );
    let handling = AssertUnwindSafe(subscription.handler.handle(event)).catch_unwind();
    let handling = rota_runtime::continue_trace(event.traceparent.clone(), span, handling);
    match tokio::time::timeout(HANDLER_DEADLINE, handling).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(HandlerError::Failed("the handler panicked".into())),
        Err(elapsed) => Err(HandlerError::Failed(elapsed.into())),
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use chrono::DateTime;
    use rota_types::{Actor, EventId, TenantId};

    use super::*;
    use crate::{Entity, EventType, Filter, Handler};

    pub(crate) fn event(event_type: EventType) -> Event {
        Event {
            id: EventId::mint(),
            tenant: TenantId::mint(),
            entity: Entity { kind: event_type.entity.to_owned(), id: "1".to_owned() },
            revision: 1,
            actor: Actor::Anonymous,
            address: None,
            request_id: "r".to_owned(),
            traceparent: None,
            time: DateTime::UNIX_EPOCH,
            kind: event_type.name.to_owned(),
            version: event_type.version,
            data: serde_json::json!({"a": 1}),
        }
    }

    struct Scripted {
        error: fn() -> HandlerError,
        buried: Mutex<Vec<DeadLetter>>,
    }

    #[async_trait]
    impl Handler for Scripted {
        async fn handle(&self, _: &Event) -> Result<(), HandlerError> {
            Err((self.error)())
        }
        async fn bury(&self, letter: &DeadLetter) -> Result<(), HandlerError> {
            self.buried.lock().unwrap().push(letter.clone());
            Ok(())
        }
    }

    fn subscription(error: fn() -> HandlerError) -> (Subscription, Arc<Scripted>) {
        let handler = Arc::new(Scripted { error, buried: Mutex::default() });
        let filters = vec![Filter::everything()];
        (Subscription { consumer: "c", filters, handler: handler.clone() }, handler)
    }

    const CHANGED: EventType = EventType::new("thing", "changed", 1);

    #[tokio::test]
    async fn an_event_that_keeps_failing_is_buried_after_the_last_attempt() {
        let (subscription, handler) = subscription(|| HandlerError::Failed("broken".into()));
        let (attempts, event) = (Attempts::default(), event(CHANGED));
        for failures in 1..MAX_ATTEMPTS {
            let outcome = deliver(&subscription, &attempts, &event).await;
            assert_eq!(outcome, Outcome::Again { failures });
        }
        assert_eq!(deliver(&subscription, &attempts, &event).await, Outcome::Settled);
        let buried = handler.buried.lock().unwrap();
        assert_eq!(buried.len(), 1);
        assert_eq!(buried[0].event.as_ref(), Some(&event));
        assert_eq!(buried[0].reason, "the event could not be handled: broken");
    }

    #[tokio::test]
    async fn poison_is_buried_at_once() {
        let (subscription, handler) = subscription(|| HandlerError::Poison("nonsense".into()));
        let outcome = deliver(&subscription, &Attempts::default(), &event(CHANGED)).await;
        assert_eq!(outcome, Outcome::Settled);
        assert_eq!(handler.buried.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_outage_never_uses_up_attempts() {
        let (subscription, handler) = subscription(|| HandlerError::Unavailable("down".into()));
        let (attempts, event) = (Attempts::default(), event(CHANGED));
        for _ in 0..3 * MAX_ATTEMPTS {
            let outcome = deliver(&subscription, &attempts, &event).await;
            assert_eq!(outcome, Outcome::Again { failures: 0 });
        }
        assert!(handler.buried.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_like_others() {
        let (subscription, _) = subscription(|| panic!("a bug"));
        let outcome = deliver(&subscription, &Attempts::default(), &event(CHANGED)).await;
        assert_eq!(outcome, Outcome::Again { failures: 1 });
    }

    #[test]
    fn delays_grow_and_end() {
        assert_eq!(retry_delay(1, 9), Duration::from_millis(50));
        assert_eq!(retry_delay(2, 9), Duration::from_millis(100));
        assert_eq!(retry_delay(40, 0), Duration::from_mins(2));
        assert_eq!(retry_delay(0, 1), Duration::from_millis(50));
        assert_eq!(retry_delay(0, 40), Duration::from_secs(5));
    }
}
