//! The relay: carries events from a service's outbox to the bus.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use rota_bus::{Entity, Event, PublishError, Publisher, Receipt, retry_delay};
use rota_types::{Actor, EventId, TenantId};
use sqlx::{PgConnection, types::Json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Database,
    replay::{self, ReplayError},
};

/// How many events one round takes.
const BATCH: i64 = 256;

/// How many entities' events are on their way at a time.
const IN_FLIGHT: usize = 64;

/// A round starts no more events after this long, so that its transaction ends.
const ROUND: Duration = Duration::from_secs(5);

/// How often the outbox is looked at when nothing was heard: events of a process that was
/// killed between commit and publication wait this long.
const IDLE: Duration = Duration::from_millis(500);

/// The pause after a round that failed as a whole.
const PAUSE: Duration = Duration::from_millis(200);

/// How often partitions are made and dropped.
const ROLL: Duration = Duration::from_hours(1);

/// Publishes a service's outbox. Every process of the service runs one; rows are locked while
/// they are published, so that each event goes out once, and again only after a crash or a
/// failure.
///
/// Events of one entity leave in their order as long as one process runs and nothing fails;
/// no more is promised ([`Event::revision`] is).
///
/// Wakes when this process commits events. A commit is not announced through Postgres
/// (`notify` would make all such commits wait for each other); another process's events are
/// found by looking, twice a second.
///
/// On every new connection to the broker it first marks what the broker lost as unpublished
/// (see `replay.rs`), and publishes nothing before it knows.
#[derive(Clone)]
pub struct Relay {
    db: Database,
    publisher: Arc<dyn Publisher>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("db", &self.db).finish_non_exhaustive()
    }
}

/// One row of the outbox that is due.
#[derive(sqlx::FromRow)]
struct Row {
    created_at: DateTime<Utc>,
    id: Uuid,
    tenant_id: Uuid,
    entity: String,
    entity_id: String,
    revision: i64,
    kind: String,
    version: i16,
    actor: Json<Actor>,
    address: Option<String>,
    request_id: String,
    traceparent: Option<String>,
    /// JSON. Read row by row: one that cannot be read must not keep all others.
    data: String,
    failures: i32,
}

/// What became of one event of a round.
struct Published {
    created_at: DateTime<Utc>,
    id: Uuid,
    failures: u32,
    result: Result<Receipt, Unpublished>,
}

/// Why an event has not left.
#[derive(Debug, thiserror::Error)]
enum Unpublished {
    #[error("its data cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    Refused(#[from] PublishError),
    #[error("the broker was away meanwhile, and may have lost it")]
    Reconnected,
}

/// A connection to the broker on which it was found out what the broker had lost before.
#[derive(Debug, Clone, Copy)]
struct Checked {
    /// Which connection it is, see [`Publisher::connections`].
    connection: u64,
    /// The era of the events that are published on it, see [`replay`].
    era: i64,
}

/// What a round found.
enum Round {
    /// There may be more at once.
    Full,
    /// Nothing more until this long, or until the bell rings.
    Done(Duration),
    /// The broker is away.
    Stuck,
}

impl Relay {
    /// A relay from the service's outbox to the bus.
    pub fn new(db: &Database, publisher: Arc<dyn Publisher>) -> Self {
        Self { db: db.clone(), publisher }
    }

    /// Publishes until `stop`. Outages are waited out.
    pub async fn run(self, stop: CancellationToken) {
        let mut rolled = Instant::now();
        let mut checked = None::<Checked>;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.publisher.ready() => {}
            }
            if rolled.elapsed() > ROLL {
                rolled = Instant::now();
                self.roll_partitions().await;
            }
            let connection = self.publisher.connections();
            checked = match checked {
                Some(on) if on.connection == connection => Some(on),
                before => self.check(connection, before).await,
            };
            let round = match checked {
                Some(on) => self.round(on).await,
                None => Ok(Round::Stuck),
            };
            let wait = match round {
                Ok(Round::Full) => continue,
                Ok(Round::Done(wait)) => wait,
                Ok(Round::Stuck) => PAUSE,
                Err(error) => {
                    tracing::warn!(schema = self.db.schema(), %error, "outbox cannot be read");
                    PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.db.outbox_bell().notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Publishes what is due, once.
    async fn round(&self, on: Checked) -> Result<Round, sqlx::Error> {
        let mut tx = self.db.runtime().begin().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "select created_at, id, tenant_id, entity, entity_id, revision, kind, version, actor,
                    address, request_id, traceparent, data::text as data, failures
             from outbox
             where published_at is null and next_attempt_at <= now()
             order by next_attempt_at, id
             limit $1
             for update skip locked",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(Round::Done(IDLE));
        }
        // Publishing may take longer than an idle transaction is otherwise allowed.
        sqlx::query("set local idle_in_transaction_session_timeout = 0").execute(&mut *tx).await?;
        let full = rows.len() == usize::try_from(BATCH).unwrap_or(usize::MAX);
        let results = self.publish(on, rows).await;
        let soonest = record(&mut tx, on, &results).await?;
        tx.commit().await?;
        self.measure(&results);
        let stuck = results.iter().any(|published| {
            matches!(
                published.result,
                Err(Unpublished::Refused(PublishError::Broker(_) | PublishError::Closed)
                    | Unpublished::Reconnected)
            )
        });
        Ok(match (stuck, full) {
            (true, _) => Round::Stuck,
            (false, true) => Round::Full,
            (false, false) => Round::Done(soonest.unwrap_or(IDLE).min(IDLE)),
        })
    }

    /// Counts what was published, and how long it had waited.
    fn measure(&self, results: &[Published]) {
        let schema = self.db.schema();
        let published = metrics::counter!(format!("rota_{schema}_outbox_published_total"));
        let lag = metrics::histogram!(format!("rota_{schema}_outbox_lag_seconds"));
        let now = Utc::now();
        for result in results.iter().filter(|published| published.result.is_ok()) {
            published.increment(1);
            lag.record((now - result.created_at).as_seconds_f64());
        }
    }

    /// Publishes rows: those of one entity one after the other, entities side by side. Rows
    /// that the round has no time for, or that follow one that failed, are left for the next.
    async fn publish(&self, on: Checked, rows: Vec<Row>) -> Vec<Published> {
        let started = Instant::now();
        let mut order = Vec::new();
        let mut entities: HashMap<(Uuid, String, String), Vec<Row>> = HashMap::new();
        for row in rows {
            let key = (row.tenant_id, row.entity.clone(), row.entity_id.clone());
            let queue = entities.entry(key.clone()).or_default();
            if queue.is_empty() {
                order.push(key);
            }
            queue.push(row);
        }
        let queues = order.into_iter().filter_map(|key| entities.remove(&key));
        stream::iter(queues)
            .map(|queue| async move {
                let mut results = Vec::with_capacity(queue.len());
                for row in queue {
                    if started.elapsed() > ROUND {
                        break;
                    }
                    let failures = u32::try_from(row.failures).unwrap_or(0);
                    let (created_at, id) = (row.created_at, row.id);
                    let result = self.send(on, row).await;
                    let failed = result.is_err();
                    results.push(Published { created_at, id, failures, result });
                    if failed {
                        break;
                    }
                }
                results
            })
            .buffer_unordered(IN_FLIGHT)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn send(&self, on: Checked, row: Row) -> Result<Receipt, Unpublished> {
        let receipt = self.publisher.publish(&row.into_event()?).await?;
        // An acknowledgement from before the broker went away, or from after: of which era the
        // event is, nobody knows. It goes out once more.
        if self.publisher.connections() != on.connection {
            return Err(Unpublished::Reconnected);
        }
        Ok(receipt)
    }

    /// Has what the broker acknowledged before this connection, and has no longer, published
    /// again. `None`: whether there is such a thing could not be found out.
    async fn check(&self, connection: u64, before: Option<Checked>) -> Option<Checked> {
        let schema = self.db.schema();
        let era: Result<i64, ReplayError> = async {
            let lost = replay::mark_lost(&self.db, self.publisher.as_ref()).await?;
            if lost > 0 {
                tracing::warn!(schema, lost, "the broker lost events: publishing them again");
            }
            match before {
                Some(before) if lost == 0 => Ok(before.era),
                _ => replay::begin_era(&self.db).await,
            }
        }
        .await;
        match era {
            Ok(era) => Some(Checked { connection, era }),
            Err(error) => {
                tracing::warn!(schema, %error, "cannot tell whether the broker lost events");
                None
            }
        }
    }

    async fn roll_partitions(&self) {
        let rolling = sqlx::query("select rota_roll_partitions()").execute(self.db.runtime());
        if let Err(error) = rolling.await {
            // There are three days in advance, and a default partition after that.
            tracing::warn!(schema = self.db.schema(), %error, "partitions wait for the next hour");
        }
    }
}

/// Writes down what became of the events. Returns when the first of the failed ones is due.
async fn record(
    connection: &mut PgConnection,
    on: Checked,
    results: &[Published],
) -> Result<Option<Duration>, sqlx::Error> {
    let (mut times, mut ids, mut sequences) = (Vec::new(), Vec::new(), Vec::new());
    let mut soonest = None::<Duration>;
    for published in results {
        match &published.result {
            Ok(receipt) => {
                times.push(published.created_at);
                ids.push(published.id);
                sequences.push(receipt.0.and_then(|sequence| i64::try_from(sequence).ok()));
            }
            Err(Unpublished::Refused(PublishError::Undelivered { consumers, failures })) => {
                let delay = retry_delay(*failures, published.failures + 1);
                soonest = Some(soonest.map_or(delay, |soonest| soonest.min(delay)));
                tracing::info!(event = %published.id, ?consumers, ?delay, "event comes again");
                postpone(connection, published, delay).await?;
            }
            Err(Unpublished::Unreadable(error)) => {
                let failures = published.failures + 1;
                let delay = retry_delay(failures, failures);
                tracing::error!(event = %published.id, %error, ?delay, "event cannot be read");
                postpone(connection, published, delay).await?;
            }
            // Not this event's fault: it stays due.
            Err(error) => tracing::warn!(event = %published.id, %error, "event not published"),
        }
    }
    sqlx::query(
        "update outbox set published_at = now(), sequence = done.sequence, era = $4
         from unnest($1::timestamptz[], $2::uuid[], $3::bigint[]) as done (created_at, id, sequence)
         where outbox.created_at = done.created_at and outbox.id = done.id",
    )
    .bind(times)
    .bind(ids)
    .bind(sequences)
    .bind(on.era)
    .execute(connection)
    .await?;
    Ok(soonest)
}

async fn postpone(
    connection: &mut PgConnection,
    published: &Published,
    delay: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update outbox set failures = failures + 1, next_attempt_at = clock_timestamp() + $3
         where created_at = $1 and id = $2",
    )
    .bind(published.created_at)
    .bind(published.id)
    .bind(delay)
    .execute(connection)
    .await?;
    Ok(())
}

impl Row {
    fn into_event(self) -> Result<Event, serde_json::Error> {
        let data = serde_json::from_str(&self.data)?;
        Ok(Event {
            id: EventId(self.id),
            tenant: TenantId(self.tenant_id),
            entity: Entity { kind: self.entity, id: self.entity_id },
            revision: self.revision,
            actor: self.actor.0,
            address: self.address,
            request_id: self.request_id,
            traceparent: self.traceparent,
            time: self.created_at,
            kind: self.kind,
            version: u16::try_from(self.version).unwrap_or(0),
            data,
        })
    }
}
