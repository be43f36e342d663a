//! From one service's commit to another's, over both buses and through every mishap.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rota_bus::{
    Bus, Event, EventType, Filter, LocalBus, PublishError, Publisher, Receipt, Subscription,
};
use rota_store::{
    Consumer, Database, Effect, EffectError, Relay, TenantTx, check_violation, dead_letters,
    outbox::{self, NewEvent, Origin},
    sqlx,
};
use rota_testkit::TestNats;
use rota_types::{Actor, EventId, TenantId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{add_thing, names, probe};

const MADE: EventType = EventType::new("thing", "made", 1);

/// Makes a thing for each event, under the event's name.
struct MakeThing {
    prefix: &'static str,
    fail: Arc<AtomicU32>,
    runs: Arc<AtomicU32>,
}

#[async_trait]
impl Effect for MakeThing {
    async fn apply(&self, tx: &mut TenantTx, event: &Event) -> Result<(), EffectError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let name: String = serde_json::from_value(event.data["name"].clone())?;
        add_thing(tx, &format!("{}{name}", self.prefix)).await?;
        if self
            .fail
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
        {
            return Err(EffectError::Failed("told to fail after the effect".into()));
        }
        Ok(())
    }
}

/// A consumer, and the strings to its effect.
struct Maker {
    fail: Arc<AtomicU32>,
    runs: Arc<AtomicU32>,
}

async fn subscribe(bus: &impl Bus, db: &Database, consumer: &'static str) -> Maker {
    subscribe_with_prefix(bus, db, consumer, "").await
}

async fn subscribe_with_prefix(
    bus: &impl Bus,
    db: &Database,
    consumer: &'static str,
    prefix: &'static str,
) -> Maker {
    let (fail, runs) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let effect = MakeThing { prefix, fail: Arc::clone(&fail), runs: Arc::clone(&runs) };
    let handler = Arc::new(Consumer::new(db.clone(), consumer, effect));
    let filters = vec![Filter::of(&MADE)];
    bus.subscribe(Subscription { consumer, filters, handler }).await.unwrap();
    Maker { fail, runs }
}

pub(crate) async fn append(db: &Database, tenant: TenantId, data: serde_json::Value) -> EventId {
    let mut tx = db.tenant(tenant).await.unwrap();
    let event = NewEvent::new(MADE, "1", 7, &data);
    let id = outbox::append(&mut tx, &Origin::service("test", "request"), &event).await.unwrap();
    tx.commit().await.unwrap();
    id
}

pub(crate) fn relay(
    db: &Database,
    publisher: Arc<dyn Publisher>,
) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(Relay::new(db, publisher).run(stop.clone())), stop)
}

async fn unpublished(db: &Database) -> i64 {
    let mut tx = db.platform().await.unwrap();
    sqlx::query_scalar("select count(*) from probe.outbox where published_at is null")
        .fetch_one(&mut *tx)
        .await
        .unwrap()
}

/// Waits until something holds; fails after half a minute.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "{what}");
}

async fn open_local_bus(db: &Database) -> (LocalBus, Maker) {
    let bus = LocalBus::new();
    let maker = subscribe(&bus, db, "maker").await;
    bus.open();
    (bus, maker)
}

#[tokio::test]
async fn an_event_is_published_if_and_only_if_its_transaction_commits() {
    let (db, _test) = probe().await;
    let (bus, _maker) = open_local_bus(&db).await;
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    let origin = Origin::service("test", "request");
    let event = NewEvent::new(MADE, "1", 1, &serde_json::json!({"name": "never"}));
    outbox::append(&mut tx, &origin, &event).await.unwrap();
    tx.rollback().await.unwrap();
    append(&db, tenant, serde_json::json!({"name": "always"})).await;
    let (running, stop) = relay(&db, Arc::new(bus));
    eventually("published", async || unpublished(&db).await == 0).await;
    assert_eq!(names(&db, tenant).await, ["always"]);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_event_arrives_as_it_was_appended() {
    struct Catch(Mutex<Vec<Event>>);
    #[async_trait]
    impl Publisher for Catch {
        async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
            self.0.lock().unwrap().push(event.clone());
            Ok(Receipt(None))
        }
        async fn ready(&self) {}
        async fn holds(&self, _: Receipt, _: EventId) -> Result<bool, PublishError> {
            Ok(true)
        }
        fn connections(&self) -> u64 {
            0
        }
    }
    let (db, _test) = probe().await;
    let catch = Arc::new(Catch(Mutex::default()));
    let tenant = TenantId::mint();
    let mut tx = db.platform().await.unwrap();
    let trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
    let address = Some("192.0.2.1".to_owned());
    let traceparent = trace.clone();
    let origin = Origin { address, traceparent, ..Origin::service("test", "request") };
    let data = serde_json::json!({"name": "n", "numbers": [f64::MAX, 5e-324, 0.1 + 0.2, 1e23]});
    let event = NewEvent::new(MADE, "the thing", 7, &data);
    let id = outbox::append_for(&mut tx, tenant, &origin, &event).await.unwrap();
    tx.commit().await.unwrap();
    let (_running, stop) = relay(&db, catch.clone());
    eventually("published", async || unpublished(&db).await == 0).await;
    stop.cancel();
    let events = catch.0.lock().unwrap();
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.id, event.tenant, event.revision), (id, tenant, 7));
    assert_eq!((event.entity.kind.as_str(), event.entity.id.as_str()), ("thing", "the thing"));
    assert_eq!((event.kind.as_str(), event.version), ("made", 1));
    assert_eq!(event.actor, Actor::Service { name: "test".to_owned() });
    assert_eq!(event.address.as_deref(), Some("192.0.2.1"));
    assert_eq!((&event.request_id[..], &event.traceparent), ("request", &trace));
    assert_eq!(event.data, data);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_keeps_no_other() {
    let (db, _test) = probe().await;
    let (bus, _maker) = open_local_bus(&db).await;
    let tenant = TenantId::mint();
    // Deeper than serde_json reads, though not than it writes.
    let deep = (0..200).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    let unreadable = append(&db, tenant, serde_json::json!({"name": "deep", "data": deep})).await;
    append(&db, tenant, serde_json::json!({"name": "next"})).await;
    let (running, stop) = relay(&db, Arc::new(bus));
    eventually("published", async || names(&db, tenant).await == ["next"]).await;
    eventually("put off", async || {
        let mut tx = db.platform().await.unwrap();
        let failures: i32 = sqlx::query_scalar("select failures from probe.outbox where id = $1")
            .bind(unreadable.0)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        failures > 0
    })
    .await;
    assert_eq!(unpublished(&db).await, 1);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn an_event_that_no_broker_would_take_is_refused() {
    let (db, _test) = probe().await;
    let mut tx = db.tenant(TenantId::mint()).await.unwrap();
    let large = serde_json::json!({"log": "x".repeat(300_000)});
    let event = NewEvent::new(MADE, "1", 1, &large);
    let error = outbox::append(&mut tx, &Origin::service("t", "r"), &event).await.unwrap_err();
    assert_eq!(check_violation(&error), Some("outbox_data_small"));
}

#[tokio::test]
async fn a_commit_wakes_the_relay() {
    let (db, _test) = probe().await;
    let (bus, _maker) = open_local_bus(&db).await;
    let (_running, stop) = relay(&db, Arc::new(bus));
    let tenant = TenantId::mint();
    // The first event shows that the relay runs; from then on it looks by itself twice a second.
    append(&db, tenant, serde_json::json!({"name": "first"})).await;
    eventually("published", async || unpublished(&db).await == 0).await;
    let started = std::time::Instant::now();
    for n in 0..20 {
        append(&db, tenant, serde_json::json!({"name": format!("{n}")})).await;
        eventually("published", async || unpublished(&db).await == 0).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    stop.cancel();
}

#[tokio::test]
async fn an_effect_that_failed_leaves_nothing_and_happens_once() {
    let (db, _test) = probe().await;
    let (bus, maker) = open_local_bus(&db).await;
    maker.fail.store(3, Ordering::Relaxed);
    let tenant = TenantId::mint();
    append(&db, tenant, serde_json::json!({"name": "once"})).await;
    let (_running, stop) = relay(&db, Arc::new(bus));
    eventually("published", async || unpublished(&db).await == 0).await;
    assert_eq!(names(&db, tenant).await, ["once"]);
    assert_eq!(maker.runs.load(Ordering::Relaxed), 4);
    stop.cancel();
}

#[tokio::test]
async fn one_failing_consumer_does_not_double_the_effects_of_another() {
    let (db, _test) = probe().await;
    let bus = LocalBus::new();
    let good = subscribe_with_prefix(&bus, &db, "good", "good: ").await;
    let bad = subscribe_with_prefix(&bus, &db, "bad", "bad: ").await;
    bus.open();
    bad.fail.store(2, Ordering::Relaxed);
    let tenant = TenantId::mint();
    append(&db, tenant, serde_json::json!({"name": "x"})).await;
    let (_running, stop) = relay(&db, Arc::new(bus));
    eventually("published", async || unpublished(&db).await == 0).await;
    assert_eq!(names(&db, tenant).await, ["bad: x", "good: x"]);
    assert_eq!(bad.runs.load(Ordering::Relaxed), 3);
    assert_eq!(good.runs.load(Ordering::Relaxed), 1, "the inbox knew the repeats");
    stop.cancel();
}

#[tokio::test]
async fn two_relays_publish_each_event_once() {
    struct Count {
        seen: Mutex<Vec<EventId>>,
    }
    #[async_trait]
    impl Publisher for Count {
        async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
            tokio::task::yield_now().await;
            self.seen.lock().unwrap().push(event.id);
            Ok(Receipt(None))
        }
        async fn ready(&self) {}
        async fn holds(&self, _: Receipt, _: EventId) -> Result<bool, PublishError> {
            Ok(true)
        }
        fn connections(&self) -> u64 {
            0
        }
    }
    let (db, test) = probe().await;
    let other = test.connect(&crate::SCHEMA).await;
    let mut sent = Vec::new();
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    for n in 0..600 {
        let event = NewEvent::new(MADE, n, 1, &serde_json::json!({}));
        sent.push(outbox::append(&mut tx, &Origin::service("t", "r"), &event).await.unwrap());
    }
    tx.commit().await.unwrap();
    let count = Arc::new(Count { seen: Mutex::default() });
    let (_one, stop_one) = relay(&db, count.clone());
    let (_two, stop_two) = relay(&other, count.clone());
    eventually("published", async || unpublished(&db).await == 0).await;
    stop_one.cancel();
    stop_two.cancel();
    let mut seen = count.seen.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, sent);
}

#[tokio::test]
async fn an_outage_of_the_broker_is_no_failure_of_events() {
    struct Away {
        away: AtomicBool,
        tries: AtomicU32,
    }
    #[async_trait]
    impl Publisher for Away {
        async fn publish(&self, _: &Event) -> Result<Receipt, PublishError> {
            self.tries.fetch_add(1, Ordering::Relaxed);
            if self.away.load(Ordering::Relaxed) {
                return Err(PublishError::Broker("away".into()));
            }
            Ok(Receipt(None))
        }
        async fn ready(&self) {}
        async fn holds(&self, _: Receipt, _: EventId) -> Result<bool, PublishError> {
            Ok(true)
        }
        fn connections(&self) -> u64 {
            0
        }
    }
    let (db, _test) = probe().await;
    append(&db, TenantId::mint(), serde_json::json!({})).await;
    let broker = Arc::new(Away { away: AtomicBool::new(true), tries: AtomicU32::new(0) });
    let (_running, stop) = relay(&db, broker.clone());
    // With the second try the relay has dealt with the failure of the first.
    eventually("tried twice", async || broker.tries.load(Ordering::Relaxed) >= 2).await;
    assert_eq!(unpublished(&db).await, 1);
    broker.away.store(false, Ordering::Relaxed);
    eventually("published", async || unpublished(&db).await == 0).await;
    let mut tx = db.platform().await.unwrap();
    let failures: i32 =
        sqlx::query_scalar("select failures from probe.outbox").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(failures, 0);
    stop.cancel();
}

#[tokio::test]
async fn poison_becomes_a_dead_letter_and_can_be_removed() {
    let (db, _test) = probe().await;
    let (bus, _maker) = open_local_bus(&db).await;
    let tenant = TenantId::mint();
    let id = append(&db, tenant, serde_json::json!({"name": 7})).await;
    let (_running, stop) = relay(&db, Arc::new(bus));
    eventually("published", async || unpublished(&db).await == 0).await;
    stop.cancel();
    let letters = dead_letters::list(&db, "maker", 10).await.unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.event_id, letter.tenant_id), (Some(id.0), Some(tenant.0)));
    let event: Event = serde_json::from_slice(&letter.payload).unwrap();
    assert_eq!(event.id, id);
    assert!(letter.reason.contains("invalid type"), "{}", letter.reason);
    assert!(dead_letters::remove(&db, letter.id).await.unwrap());
    assert!(!dead_letters::remove(&db, letter.id).await.unwrap());
}

#[tokio::test]
async fn what_the_broker_lost_is_published_again_and_has_no_second_effect() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    for n in 0..10 {
        append(&db, tenant, serde_json::json!({"name": format!("thing {n}")})).await;
    }
    // A broker takes all events; then another one, empty, takes its place.
    let first = TestNats::start().await;
    let bus = first.bus("test").await;
    let maker = subscribe(&bus, &db, "maker").await;
    let (running, stop) = relay(&db, Arc::new(bus.clone()));
    eventually("published", async || unpublished(&db).await == 0).await;
    eventually("handled", async || names(&db, tenant).await.len() == 10).await;
    stop.cancel();
    running.await.unwrap();
    bus.close().await;
    assert_eq!(maker.runs.load(Ordering::Relaxed), 10);

    let second = TestNats::start().await;
    let bus = second.bus("test").await;
    let late = subscribe(&bus, &db, "late-maker").await;
    let again = subscribe(&bus, &db, "maker").await;
    late.fail.store(u32::MAX, Ordering::Relaxed);
    let (_running, stop) = relay(&db, Arc::new(bus.clone()));
    append(&db, tenant, serde_json::json!({"name": "one more"})).await;
    eventually("handled", async || names(&db, tenant).await.len() == 11).await;
    eventually("delivered again", async || late.runs.load(Ordering::Relaxed) >= 11).await;
    assert_eq!(again.runs.load(Ordering::Relaxed), 1, "the ten were in its inbox");
    stop.cancel();
    bus.close().await;
}
