//! Finds what a broker acknowledged and has no longer, and has the relay publish it again.
//!
//! A broker that was restored, or crashed before its disk was synced, has lost the tail of its
//! stream, and gives the tail's sequences to the events that come next. Which events it still
//! has cannot be told from their sequences, then: replicas of a service write down
//! acknowledgements from before a loss and from after it side by side. But a loss ends every
//! connection, and a relay begins a new *era* when it finds one. Of the events of one era,
//! the broker has lost the last ones or none; so each era is looked at by itself, from its end.

use rota_bus::{PublishError, Publisher, Receipt};
use rota_types::EventId;
use uuid::Uuid;

use crate::Database;

/// How many events one statement marks, so that it stays far from its timeout.
const BATCH: i64 = 2000;

/// Why it is unknown whether the broker lost something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("outbox: {0}")]
    Database(#[from] sqlx::Error),
    #[error("broker: {0}")]
    Broker(#[from] PublishError),
}

/// Begins an era.
pub(crate) async fn begin_era(db: &Database) -> Result<i64, ReplayError> {
    Ok(sqlx::query_scalar("select nextval('outbox_eras')").fetch_one(db.runtime()).await?)
}

/// Marks what the broker lost as unpublished; returns how many events that are.
pub(crate) async fn mark_lost(
    db: &Database,
    publisher: &dyn Publisher,
) -> Result<u64, ReplayError> {
    let mut lost = 0;
    for era in eras(db).await? {
        if let Some(held) = held(db, publisher, era).await? {
            lost += mark_after(db, era, held).await?;
        }
    }
    Ok(lost)
}

/// The eras of the events in the outbox: one look into the index for each.
async fn eras(db: &Database) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "with recursive eras as (
             (select era from outbox where sequence is not null order by era limit 1)
             union all
             select (select o.era from outbox o where o.sequence is not null and o.era > eras.era
                     order by o.era limit 1)
             from eras where eras.era is not null
         )
         select era from eras where era is not null",
    )
    .fetch_all(db.runtime())
    .await
}

/// A sequence up to which the broker has the era's events, when it has not all of them.
async fn held(
    db: &Database,
    publisher: &dyn Publisher,
    era: i64,
) -> Result<Option<i64>, ReplayError> {
    // Looks back in growing steps until the broker has what it should.
    let mut back: i64 = 0;
    loop {
        let row: Option<(Uuid, i64)> = sqlx::query_as(
            "select id, sequence from outbox
             where era = $1 and sequence is not null and created_at > now() - interval '6 days'
             order by sequence desc offset $2 limit 1",
        )
        .bind(era)
        .bind(back)
        .fetch_optional(db.runtime())
        .await?;
        let Some((id, sequence)) = row else { return Ok((back > 0).then_some(0)) };
        if publisher.holds(Receipt(u64::try_from(sequence).ok()), EventId(id)).await? {
            return Ok((back > 0).then_some(sequence));
        }
        back = (back * 2).max(1);
    }
}

/// Marks the era's events behind a sequence, the last first: should this process end in
/// between, the era's end is still one that the broker has not.
async fn mark_after(db: &Database, era: i64, held: i64) -> Result<u64, sqlx::Error> {
    let mut marked: u64 = 0;
    loop {
        // Another process may mark the same ones: those found count, not those changed.
        let (found, changed): (i64, i64) = sqlx::query_as(
            "with lost as (
                 select created_at, id, sequence from outbox
                 where era = $1 and sequence > $2 and created_at > now() - interval '6 days'
                 order by sequence desc limit $3
             ), again as (
                 update outbox o
                 set published_at = null, sequence = null, next_attempt_at = now()
                 from lost
                 where o.created_at = lost.created_at and o.id = lost.id
                   and o.era = $1 and o.sequence >= (select min(sequence) from lost)
                 returning 1
             )
             select (select count(*) from lost), (select count(*) from again)",
        )
        .bind(era)
        .bind(held)
        .bind(BATCH)
        .fetch_one(db.runtime())
        .await?;
        marked += changed.unsigned_abs();
        if found == 0 {
            return Ok(marked);
        }
    }
}
