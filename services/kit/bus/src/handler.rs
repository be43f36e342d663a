//! What a bus offers, and what it asks of those who consume.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use rota_types::EventId;

use crate::{Event, Filter};

/// The cause of a failure, whatever its type.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Takes events over from an outbox.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// Hands one event over. `Ok` means that it will reach every consumer even if this
    /// process is killed at once: a broker has it on disk, or every consumer in this process
    /// has committed its effect.
    async fn publish(&self, event: &Event) -> Result<Receipt, PublishError>;

    /// Returns when publishing has a chance: the broker is connected, the bus is open.
    async fn ready(&self);

    /// Whether the broker still has what it acknowledged with `receipt`. A broker that was
    /// restored from a backup, or crashed before its disk was synced, has lost its tail, and
    /// the outbox publishes it again.
    async fn holds(&self, receipt: Receipt, event: EventId) -> Result<bool, PublishError>;

    /// Counts connections to the broker: a change means that it was away, and may have lost
    /// something. Has changed before an event is acknowledged over the new connection. Constant
    /// where there is no broker.
    fn connections(&self) -> u64;
}

/// Where a broker put an event: its sequence in the stream, or nothing where there is no
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt(pub Option<u64>);

/// A bus: publishes, and delivers to those who subscribe.
#[async_trait]
pub trait Bus: Publisher {
    /// Adds a durable consumer and begins to deliver to it. Replicas that subscribe under one
    /// name share the events among them.
    async fn subscribe(&self, subscription: Subscription) -> Result<(), SubscribeError>;

    /// Stops delivering, and returns when the handlers that were running have finished.
    async fn close(&self);
}

/// One consumer: its name, what it wants, and what it does with it.
#[derive(Clone)]
pub struct Subscription {
    /// The durable name: the bus's place for the consumer and the key of its inbox. Lower-case
    /// letters, digits, `_` and `-`; by custom `<service>` or `<service>-<purpose>`.
    pub consumer: &'static str,
    /// Events that any of these lets through are delivered.
    pub filters: Vec<Filter>,
    /// What is done with them.
    pub handler: Arc<dyn Handler>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("consumer", &self.consumer)
            .field("filters", &self.filters)
            .finish_non_exhaustive()
    }
}

/// What a consumer does with an event.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Carries out the event's effect and commits it together with the event's id; an event
    /// whose id is recorded already is `Ok` at once. Takes at most
    /// [`HANDLER_DEADLINE`](crate::HANDLER_DEADLINE).
    async fn handle(&self, event: &Event) -> Result<(), HandlerError>;

    /// Keeps an event that could not be handled, durably, for a person to look at.
    async fn bury(&self, letter: &DeadLetter) -> Result<(), HandlerError>;
}

/// An event that was given up on.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Who could not handle it.
    pub consumer: &'static str,
    /// The event, if the message was one.
    pub event: Option<Event>,
    /// The message as it came: the JSON of an event, or whatever was sent instead.
    pub payload: Vec<u8>,
    /// The last failure, with its causes.
    pub reason: String,
}

/// Why a handler did not carry out an event. What it means for the event is in the variants.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Something that is needed (database, another service) cannot be reached. The event comes
    /// again, with growing delays, for as long as it takes.
    #[error("something needed for the event cannot be reached")]
    Unavailable(#[source] Cause),
    /// The effect failed. The event comes again, with growing delays, and is buried after
    /// [`MAX_ATTEMPTS`](crate::MAX_ATTEMPTS) failures.
    #[error("the event could not be handled")]
    Failed(#[source] Cause),
    /// The event makes no sense and never will. It is buried at once.
    #[error("the event makes no sense")]
    Poison(#[source] Cause),
}

/// Why an event was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker cannot be reached or did not confirm; no event would fare better now.
    #[error("the broker did not take the event")]
    Broker(#[source] Cause),
    /// These consumers in this process have not carried out this event; others may have.
    #[error("not handled yet by {}", .consumers.join(", "))]
    Undelivered {
        /// The consumers' names.
        consumers: Vec<&'static str>,
        /// The most failures among them, for [`retry_delay`](crate::retry_delay); 0 in an
        /// outage.
        failures: u32,
    },
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

/// Why nobody can subscribe like this.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The name cannot be part of a subject.
    #[error("a consumer is named with a-z, 0-9, _ and -, not {0:?}")]
    Name(String),
    /// There is nothing to deliver.
    #[error("consumer {0} subscribes to nothing")]
    NoFilter(&'static str),
    /// Two consumers of one process have the same name, and would share their events.
    #[error("consumer {0} exists already")]
    Taken(&'static str),
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
}

impl Subscription {
    /// Refuses what no bus can serve.
    pub(crate) fn check(&self) -> Result<(), SubscribeError> {
        if !crate::event::is_token(self.consumer) {
            return Err(SubscribeError::Name(self.consumer.to_owned()));
        }
        if self.filters.is_empty() {
            return Err(SubscribeError::NoFilter(self.consumer));
        }
        Ok(())
    }

    /// Whether any filter lets the event through.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        self.filters.iter().any(|filter| filter.matches(event))
    }
}
