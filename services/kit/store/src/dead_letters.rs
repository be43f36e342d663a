//! Events that a consumer could not handle, kept until a person has looked.

use chrono::{DateTime, Utc};
use rota_bus::DeadLetter;
use uuid::Uuid;

use crate::Database;

/// A dead letter as it is kept.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Kept {
    /// Its own id.
    pub id: Uuid,
    /// Who could not handle it.
    pub consumer: String,
    /// The event, if the message was one.
    pub event_id: Option<Uuid>,
    /// Whose event it was.
    pub tenant_id: Option<Uuid>,
    /// The message as it came.
    pub payload: Vec<u8>,
    /// The last failure, with its causes.
    pub reason: String,
    /// When it was given up (UTC).
    pub buried_at: DateTime<Utc>,
}

/// Keeps a letter; the same event of the same consumer once.
pub async fn keep(db: &Database, letter: &DeadLetter) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dead_letters (id, consumer, event_id, tenant_id, payload, reason)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (consumer, event_id) do update
         set reason = excluded.reason, buried_at = excluded.buried_at",
    )
    .bind(Uuid::now_v7())
    .bind(letter.consumer)
    .bind(letter.event.as_ref().map(|event| event.id.uuid()))
    .bind(letter.event.as_ref().map(|event| event.tenant.uuid()))
    .bind(&letter.payload)
    .bind(&letter.reason)
    .execute(db.runtime())
    .await?;
    Ok(())
}

/// The oldest letters of a consumer, at most `limit`.
pub async fn list(db: &Database, consumer: &str, limit: i64) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as(
        "select id, consumer, event_id, tenant_id, payload, reason, buried_at
         from dead_letters where consumer = $1 order by buried_at, id limit $2",
    )
    .bind(consumer)
    .bind(limit)
    .fetch_all(db.runtime())
    .await
}

/// Removes a letter that was dealt with. `false`: there is none.
pub async fn remove(db: &Database, id: Uuid) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query("delete from dead_letters where id = $1")
        .bind(id)
        .execute(db.runtime())
        .await?;
    Ok(removed.rows_affected() == 1)
}
