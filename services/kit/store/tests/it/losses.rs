//! A broker that loses its tail, and gives the tail's sequences to new events.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use rota_bus::{Event, PublishError, Publisher, Receipt};
use rota_store::{Database, sqlx};
use rota_types::{EventId, TenantId};
use serde_json::json;

use crate::{
    events::{append, eventually, relay},
    probe,
};

/// The broker's one stream: an event's sequence is its place in it, from 1.
type Stream = Arc<Mutex<Vec<EventId>>>;

/// One relay's connection to the broker.
struct Client {
    stream: Stream,
    connections: AtomicU64,
    /// How many events it was given.
    given: AtomicU64,
    /// Whether the broker cannot say, once, what it holds.
    dumb: AtomicBool,
    /// Held by a test to keep events from reaching the stream.
    outward: tokio::sync::Mutex<()>,
    /// Held by a test to keep acknowledgements from coming back.
    homeward: tokio::sync::Mutex<()>,
}

impl Client {
    fn new(stream: &Stream) -> Arc<Self> {
        Arc::new(Self {
            stream: Arc::clone(stream),
            connections: AtomicU64::new(1),
            given: AtomicU64::new(0),
            dumb: AtomicBool::new(false),
            outward: tokio::sync::Mutex::default(),
            homeward: tokio::sync::Mutex::default(),
        })
    }

    fn reconnect(&self) {
        self.connections.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Publisher for Client {
    async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
        self.given.fetch_add(1, Ordering::SeqCst);
        drop(self.outward.lock().await);
        let sequence = {
            let mut stream = self.stream.lock().unwrap();
            stream.push(event.id);
            stream.len() as u64
        };
        drop(self.homeward.lock().await);
        Ok(Receipt(Some(sequence)))
    }

    async fn ready(&self) {}

    async fn holds(&self, receipt: Receipt, event: EventId) -> Result<bool, PublishError> {
        if self.dumb.swap(false, Ordering::SeqCst) {
            return Err(PublishError::Broker("told to fail".into()));
        }
        let place = usize::try_from(receipt.0.unwrap() - 1).unwrap();
        Ok(self.stream.lock().unwrap().get(place) == Some(&event))
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn streamed(stream: &Stream, events: &[EventId]) {
    eventually("all events in the stream", async || {
        let stream = stream.lock().unwrap();
        events.iter().all(|event| stream.contains(event))
    })
    .await;
}

/// Waits until the outbox has this many sequences written down.
async fn acknowledged(db: &Database, count: i64) {
    eventually("acknowledged", async || {
        let mut tx = db.platform().await.unwrap();
        let acknowledged: i64 =
            sqlx::query_scalar("select count(*) from probe.outbox where published_at is not null")
                .fetch_one(&mut *tx)
                .await
                .unwrap();
        acknowledged == count
    })
    .await;
}

#[tokio::test]
async fn nothing_is_published_before_the_broker_has_said_what_it_lost() {
    let (db, _test) = probe().await;
    let (stream, tenant) = (Stream::default(), TenantId::mint());
    let client = Client::new(&stream);
    let (_running, stop) = relay(&db, client.clone());
    let mut events = Vec::new();
    for _ in 0..6 {
        events.push(append(&db, tenant, json!({})).await);
    }
    acknowledged(&db, 6).await;
    {
        let mut stream = stream.lock().unwrap();
        client.dumb.store(true, Ordering::SeqCst);
        client.reconnect();
        stream.truncate(5);
    }
    events.push(append(&db, tenant, json!({})).await);
    streamed(&stream, &events).await;
    acknowledged(&db, 7).await;
    assert_eq!(stream.lock().unwrap().len(), 7, "no event twice");
    stop.cancel();
}

#[tokio::test]
async fn an_event_that_was_under_way_while_the_broker_was_away_hides_no_lost_one() {
    let (db, _test) = probe().await;
    let (stream, tenant) = (Stream::default(), TenantId::mint());
    let client = Client::new(&stream);
    let (_running, stop) = relay(&db, client.clone());
    let lost = append(&db, tenant, json!({})).await;
    acknowledged(&db, 1).await;
    let under_way = client.outward.lock().await;
    let next = append(&db, tenant, json!({})).await;
    eventually("under way", async || client.given.load(Ordering::SeqCst) == 2).await;
    stream.lock().unwrap().clear();
    client.reconnect();
    drop(under_way);
    streamed(&stream, &[lost, next]).await;
    acknowledged(&db, 2).await;
    stop.cancel();
}

#[tokio::test]
async fn a_replica_that_learns_of_the_loss_later_still_finds_its_lost_events() {
    let (db, test) = probe().await;
    let other = test.connect(&crate::SCHEMA).await;
    let (stream, tenant) = (Stream::default(), TenantId::mint());
    let (slow, quick) = (Client::new(&stream), Client::new(&stream));
    // The slow one's event is in the stream, and its acknowledgement on its way ...
    let coming = slow.homeward.lock().await;
    let (_slow, stop_slow) = relay(&db, slow.clone());
    let lost = append(&db, tenant, json!({})).await;
    streamed(&stream, &[lost]).await;
    // ... when the broker loses it, and gives its place to an event of the quick one.
    stream.lock().unwrap().clear();
    let (_quick, stop_quick) = relay(&other, quick.clone());
    let next = append(&db, tenant, json!({})).await;
    streamed(&stream, &[next]).await;
    acknowledged(&db, 1).await;
    drop(coming);
    acknowledged(&db, 2).await;
    slow.reconnect();
    streamed(&stream, &[lost, next]).await;
    stop_slow.cancel();
    stop_quick.cancel();
}

#[tokio::test]
async fn a_loss_of_many_events_is_marked_in_parts() {
    const EVENTS: i64 = 4500;
    let (db, _test) = probe().await;
    let stream = Stream::default();
    let mut tx = db.platform().await.unwrap();
    sqlx::query(
        "insert into probe.outbox (id, tenant_id, entity, entity_id, revision, kind, version,
                                   actor, request_id, data, published_at, era, sequence)
         select gen_random_uuid(), $1, 'thing', n::text, 1, 'made', 1,
                '{\"kind\": \"service\", \"name\": \"test\"}', 'request', '{}', now(), 1, n
         from generate_series(1, $2) n",
    )
    .bind(TenantId::mint().uuid())
    .bind(EVENTS)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let (_running, stop) = relay(&db, Client::new(&stream));
    let all = usize::try_from(EVENTS).unwrap();
    eventually("all again", async || stream.lock().unwrap().len() == all).await;
    stop.cancel();
}
