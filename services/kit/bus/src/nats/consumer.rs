//! One durable pull consumer: fetches, delivers, acknowledges what is committed.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use async_nats::jetstream::{
    self, AckKind,
    consumer::{AckPolicy, PullConsumer, pull},
};
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::NatsBus;
use crate::{
    DeadLetter, Event, Filter, Publisher, Subscription,
    delivery::{self, Outcome},
};

/// How many events are handled at a time. Those of one entity always share a lane, so that
/// one process handles them in their order as long as none fails.
const LANES: usize = 16;

/// How many events wait in each lane.
const LANE_DEPTH: usize = 2;

/// How long the server waits for a word about an event before it delivers it again: what a
/// killed process costs.
const ACK_WAIT: Duration = Duration::from_secs(5);

/// How often a handler that takes long sends that word.
const PROGRESS: Duration = Duration::from_secs(2);

/// The pause before a flow that broke is opened again.
const REOPEN: Duration = Duration::from_millis(100);

/// The server forgets consumers that nobody has asked for this long: twice the life of an
/// event.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(14 * 24);

/// Delivers the events of one filter until the bus closes. Whatever ends the flow (a server
/// restart, a lost stream, a deleted consumer) is answered by opening it again.
pub(super) async fn run(bus: NatsBus, subscription: Arc<Subscription>, filter: Filter) {
    let stop = bus.0.stop.clone();
    while !stop.is_cancelled() {
        let session = async {
            bus.ready().await;
            match open(&bus, &subscription, &filter).await {
                Ok(consumer) => pump(&bus, &subscription, consumer).await,
                Err(error) => {
                    bus.doubt_stream();
                    tracing::warn!(consumer = subscription.consumer, %error, "cannot consume");
                }
            }
        };
        // `pump` itself sees the stop and lets its handlers finish.
        session.await;
        // Waits for nothing but the stop: a flow that breaks at once must not spin.
        let _ = tokio::time::timeout(REOPEN, stop.cancelled()).await;
    }
}

/// The durable consumer, made if it is not there.
async fn open(
    bus: &NatsBus,
    subscription: &Subscription,
    filter: &Filter,
) -> Result<PullConsumer, async_nats::Error> {
    let name = format!("{}-{}", subscription.consumer, filter.label());
    let config = pull::Config {
        durable_name: Some(name.clone()),
        filter_subject: filter.subject(&bus.0.settings.prefix),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Giving up is decided here, where it can be told from an outage, never by the server.
        max_deliver: -1,
        inactive_threshold: FORGOTTEN_AFTER,
        ..Default::default()
    };
    let stream = bus.stream().await?;
    Ok(stream.get_or_create_consumer(&name, config).await?)
}

/// Moves messages into lanes until the flow ends or the bus closes; returns when the lanes
/// are empty.
async fn pump(bus: &NatsBus, subscription: &Arc<Subscription>, consumer: PullConsumer) {
    let stop = &bus.0.stop;
    let mut connection = bus.0.connection.clone();
    let opened_on = connection.borrow().count;
    let opened = consumer
        .stream()
        .max_messages_per_batch(LANES)
        .heartbeat(Duration::from_secs(2))
        .expires(Duration::from_secs(10))
        .messages();
    let mut messages = match opened.await {
        Ok(messages) => messages,
        Err(error) => {
            tracing::warn!(consumer = subscription.consumer, %error, "cannot fetch events");
            return;
        }
    };
    let tasks = TaskTracker::new();
    let lanes: Vec<_> = (0..LANES)
        .map(|_| {
            let (lane, waiting) = mpsc::channel(LANE_DEPTH);
            tasks.spawn(work(bus.clone(), Arc::clone(subscription), waiting));
            lane
        })
        .collect();
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => break,
            // After a reconnection the pull that the server knew of is gone with it; waiting
            // for its heartbeat to be missed would cost seconds.
            _ = connection.wait_for(|connection| connection.count != opened_on) => break,
            message = messages.next() => message,
        };
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                tracing::warn!(consumer = subscription.consumer, %error, "flow of events broke");
                break;
            }
            None => break,
        };
        let event = serde_json::from_slice(&message.payload);
        let lane = event.as_ref().map_or(0, lane_of);
        // A lane ends only after its sender is dropped, or with the runtime.
        if lanes[lane].send((message, event)).await.is_err() {
            break;
        }
    }
    drop(lanes);
    tasks.close();
    tasks.wait().await;
}

/// The lane of the event's entity.
fn lane_of(event: &Event) -> usize {
    let mut hasher = DefaultHasher::new();
    (event.tenant, &event.entity).hash(&mut hasher);
    usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0)
}

type Delivery = (jetstream::Message, Result<Event, serde_json::Error>);

/// Handles what comes through one lane, one after the other. Once the bus closes, what still
/// waits is left for the next process.
async fn work(
    bus: NatsBus,
    subscription: Arc<Subscription>,
    mut waiting: mpsc::Receiver<Delivery>,
) {
    while let Some((message, event)) = waiting.recv().await {
        if bus.0.stop.is_cancelled() {
            continue;
        }
        let handling = async {
            match event {
                Ok(event) => delivery::deliver(&subscription, &bus.0.attempts, &event).await,
                Err(error) => {
                    let letter = DeadLetter {
                        consumer: subscription.consumer,
                        event: None,
                        payload: message.payload.to_vec(),
                        reason: format!("the message on {} is no event: {error}", message.subject),
                    };
                    delivery::bury(&subscription, &letter).await
                }
            }
        };
        let answer = match with_progress(&message, handling).await {
            Outcome::Settled => AckKind::Ack,
            Outcome::Again { failures } => {
                let delivered = message.info().map_or(1, |info| info.delivered);
                let delivered = u32::try_from(delivered).unwrap_or(u32::MAX);
                AckKind::Nak(Some(delivery::retry_delay(failures, delivered)))
            }
        };
        if let Err(error) = message.ack_with(answer).await {
            tracing::warn!(consumer = subscription.consumer, %error, "acknowledgement not sent");
        }
    }
}

/// Runs a handler, telling the server every so often that it is still at work.
async fn with_progress(
    message: &jetstream::Message,
    handling: impl Future<Output = Outcome>,
) -> Outcome {
    tokio::pin!(handling);
    loop {
        match tokio::time::timeout(PROGRESS, &mut handling).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                // Lost words only bring the event again, and its inbox knows it.
                let _ = message.ack_with(AckKind::Progress).await;
            }
        }
    }
}
