//! The bus within one process: delivered means that every consumer has committed.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use futures::future::join_all;
use rota_types::EventId;
use tokio::sync::watch;

use crate::{
    Bus, Event, PublishError, Publisher, Receipt, SubscribeError, Subscription,
    attempts::Attempts,
    delivery::{self, Outcome},
};

/// Delivers within the process, without a queue of its own: [`Publisher::publish`] returns
/// `Ok` when every consumer that wants the event has handled or buried it. The outbox's
/// published mark is thereby the consumers' durable position, and a process that is killed in
/// between publishes again; inboxes make that harmless.
///
/// Events wait until [`LocalBus::open`]: one that was published before its consumers had
/// subscribed would be lost to them. A consumer that a later release adds sees only what is
/// published from then on.
#[derive(Clone, Debug)]
pub struct LocalBus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    consumers: RwLock<Vec<Arc<Subscription>>>,
    attempts: Attempts,
    state: watch::Sender<State>,
    /// Publications under way; closing waits for zero.
    running: watch::Sender<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Consumers may still subscribe; nothing is delivered.
    Gathering,
    Open,
    Closed,
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

impl LocalBus {
    /// A bus on which nothing is delivered yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            consumers: RwLock::default(),
            attempts: Attempts::default(),
            state: watch::Sender::new(State::Gathering),
            running: watch::Sender::new(0),
        }))
    }

    /// Begins to deliver: every consumer has subscribed.
    pub fn open(&self) {
        self.0.state.send_if_modified(|state| {
            let gathering = *state == State::Gathering;
            if gathering {
                *state = State::Open;
            }
            gathering
        });
    }

    fn state(&self) -> State {
        *self.0.state.borrow()
    }

    fn consumers_of(&self, event: &Event) -> Vec<Arc<Subscription>> {
        let consumers = self.0.consumers.read().unwrap_or_else(PoisonError::into_inner);
        consumers.iter().filter(|consumer| consumer.wants(event)).cloned().collect()
    }
}

/// Counts a publication while it lives, also when its future is dropped.
struct Running<'a>(&'a watch::Sender<usize>);

impl<'a> Running<'a> {
    fn enter(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl Publisher for LocalBus {
    async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
        let _running = Running::enter(&self.0.running);
        self.ready().await;
        if self.state() == State::Closed {
            return Err(PublishError::Closed);
        }
        let deliveries = self.consumers_of(event).into_iter().map(|consumer| async move {
            match delivery::deliver(&consumer, &self.0.attempts, event).await {
                Outcome::Settled => None,
                Outcome::Again { failures } => Some((consumer.consumer, failures)),
            }
        });
        let open: Vec<_> = join_all(deliveries).await.into_iter().flatten().collect();
        match open.iter().map(|(_, failures)| *failures).max() {
            None => Ok(Receipt(None)),
            Some(failures) => {
                let consumers = open.into_iter().map(|(consumer, _)| consumer).collect();
                Err(PublishError::Undelivered { consumers, failures })
            }
        }
    }

    async fn ready(&self) {
        // The sender lives in `self`, so waiting ends only with the state.
        let _ = self.0.state.subscribe().wait_for(|state| *state != State::Gathering).await;
    }

    async fn holds(&self, _: Receipt, _: EventId) -> Result<bool, PublishError> {
        Ok(true)
    }

    fn connections(&self) -> u64 {
        0
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn subscribe(&self, subscription: Subscription) -> Result<(), SubscribeError> {
        subscription.check()?;
        if self.state() == State::Closed {
            return Err(SubscribeError::Closed);
        }
        let mut consumers = self.0.consumers.write().unwrap_or_else(PoisonError::into_inner);
        if consumers.iter().any(|other| other.consumer == subscription.consumer) {
            return Err(SubscribeError::Taken(subscription.consumer));
        }
        consumers.push(Arc::new(subscription));
        Ok(())
    }

    async fn close(&self) {
        self.0.state.send_replace(State::Closed);
        // The sender lives in `self`, so waiting ends only with the count.
        let _ = self.0.running.subscribe().wait_for(|running| *running == 0).await;
    }
}
