//! A consumer that remembers, and fails on demand.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rota_bus::{
    Bus, DeadLetter, Entity, Event, EventType, Filter, Handler, HandlerError, PublishError,
    Subscription, retry_delay,
};
use rota_types::{Actor, EventId, TenantId};
use tokio::sync::{Semaphore, watch};

pub(crate) const ACCEPTED: EventType = EventType::new("device", "accepted", 1);
pub(crate) const REMOVED: EventType = EventType::new("device", "removed", 1);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn event(event_type: EventType) -> Event {
    Event {
        id: EventId::mint(),
        tenant: TenantId::mint(),
        entity: Entity { kind: event_type.entity.to_owned(), id: "1".to_owned() },
        revision: 1,
        actor: Actor::Anonymous,
        address: None,
        request_id: "request".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        time: chrono::DateTime::UNIX_EPOCH,
        kind: event_type.name.to_owned(),
        version: event_type.version,
        data: serde_json::json!({}),
    }
}

/// Publishes as the relay does: again until the event was taken.
pub(crate) async fn publish(bus: &impl Bus, event: &Event) {
    for attempt in 1.. {
        bus.ready().await;
        match bus.publish(event).await {
            Ok(_) => return,
            Err(PublishError::Undelivered { failures, .. }) => {
                let delay = retry_delay(failures, attempt).min(Duration::from_millis(50));
                tokio::time::sleep(delay).await;
            }
            Err(error) if attempt > 100 => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// What was handled and buried, in order.
#[derive(Debug, Default, Clone)]
struct Log {
    handled: Vec<Event>,
    buried: Vec<DeadLetter>,
    started: usize,
}

pub(crate) struct Recorder {
    log: watch::Sender<Log>,
    failures: Mutex<u32>,
    poison: Mutex<Vec<EventId>>,
    /// A handler goes on when it gets a permit.
    gate: Semaphore,
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_permits(Semaphore::MAX_PERMITS)
    }

    /// A consumer whose handlers stop until [`Recorder::let_go`].
    pub(crate) fn held() -> Arc<Self> {
        Self::with_permits(0)
    }

    fn with_permits(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            log: watch::Sender::default(),
            failures: Mutex::default(),
            poison: Mutex::default(),
            gate: Semaphore::new(permits),
        })
    }

    pub(crate) fn subscription(
        self: &Arc<Self>,
        consumer: &'static str,
        event_type: EventType,
    ) -> Subscription {
        Subscription {
            consumer,
            filters: vec![Filter::of(&event_type)],
            handler: Arc::<Self>::clone(self),
        }
    }

    pub(crate) fn let_go(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn fail_next(&self, times: u32) {
        *self.failures.lock().unwrap() = times;
    }

    pub(crate) fn refuse(&self, event: EventId) {
        self.poison.lock().unwrap().push(event);
    }

    pub(crate) fn seen(&self) -> Vec<EventId> {
        self.log.borrow().handled.iter().map(|event| event.id).collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.log.borrow().handled.clone()
    }

    pub(crate) fn buried(&self) -> Vec<DeadLetter> {
        self.log.borrow().buried.clone()
    }

    pub(crate) async fn wait_handled(&self, count: usize) {
        self.wait(|log| log.handled.len() >= count).await;
    }

    pub(crate) async fn wait_buried(&self, count: usize) {
        self.wait(|log| log.buried.len() >= count).await;
    }

    pub(crate) async fn wait_started(&self, count: usize) {
        self.wait(|log| log.started >= count).await;
    }

    async fn wait(&self, enough: impl Fn(&Log) -> bool) {
        let mut log = self.log.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, log.wait_for(|log| enough(log)));
        let came = waiting.await.is_ok();
        assert!(came, "in vain: {:?}", self.log.borrow());
    }
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.log.send_modify(|log| log.started += 1);
        let _permit = self.gate.acquire().await.unwrap();
        if self.poison.lock().unwrap().contains(&event.id) {
            return Err(HandlerError::Poison("told to refuse it".into()));
        }
        {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(HandlerError::Failed("told to fail".into()));
            }
        }
        self.log.send_modify(|log| log.handled.push(event.clone()));
        Ok(())
    }

    async fn bury(&self, letter: &DeadLetter) -> Result<(), HandlerError> {
        self.log.send_modify(|log| log.buried.push(letter.clone()));
        Ok(())
    }
}
