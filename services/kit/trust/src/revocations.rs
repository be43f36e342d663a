//! Revocations in the service's schema.

use chrono::{DateTime, TimeDelta, Utc};
use rota_store::{Database, TenantTx};
use rota_types::TokenId;
use sqlx::Row;
use uuid::Uuid;

use crate::known::Revoked;

/// Added to every end, for clocks that do not agree and for a token that is signed at the
/// moment of its revocation.
const MARGIN: TimeDelta = TimeDelta::minutes(10);

/// The end of what has none: later than any token's life, and sooner than any clock's end.
const NEVER: DateTime<Utc> = DateTime::from_timestamp(253_370_764_800, 0)
    .expect("the first second of the year 9999 is a time");

/// How long a revocation must be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlives {
    /// Longer than any token that the service may have issued until `now`.
    EveryToken {
        /// The time of the revocation (UTC).
        now: DateTime<Utc>,
    },
    /// Longer than one token that ends then (UTC).
    Until(DateTime<Utc>),
    /// For good: the token has no end, or one that others set.
    Forever,
}

/// Refuses tokens of `subject` (their `jti`, or the tenant whose devices they are of) with an
/// epoch below `epoch`, from the commit of the transaction on, at every gateway within a
/// second. An epoch never falls.
pub async fn revoke(
    tx: &mut TenantTx,
    subject: TokenId,
    epoch: i64,
    outlives: Outlives,
) -> Result<(), sqlx::Error> {
    let tenant = tx.tenant();
    let expires_at = match outlives {
        Outlives::EveryToken { now } => now + longest_lifetime(tx).await? + MARGIN,
        Outlives::Until(end) => end + MARGIN,
        Outlives::Forever => NEVER,
    };
    sqlx::query(
        "insert into revocations as held (subject, tenant_id, epoch, expires_at)
         values ($1, $2, $3, $4)
         on conflict (subject) do update
         set epoch = greatest(held.epoch, excluded.epoch),
             expires_at = greatest(held.expires_at, excluded.expires_at)",
    )
    .bind(subject.uuid())
    .bind(tenant.uuid())
    .bind(epoch)
    .bind(expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn longest_lifetime(tx: &mut TenantTx) -> Result<TimeDelta, sqlx::Error> {
    let seconds: Option<i64> =
        sqlx::query_scalar("select max(longest_lifetime_seconds) from signing_keys")
            .fetch_one(&mut **tx)
            .await?;
    Ok(TimeDelta::try_seconds(seconds.unwrap_or_default()).unwrap_or_default())
}

/// Every revocation that some living token can meet.
pub(crate) async fn load(db: &Database, now: DateTime<Utc>) -> Result<Vec<Revoked>, sqlx::Error> {
    let mut tx = db.platform().await?;
    let rows = sqlx::query(
        "select subject, epoch, ceil(extract(epoch from expires_at))::bigint as expires_at
         from revocations where expires_at > $1",
    )
    .bind(now)
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Revoked {
                subject: TokenId(row.try_get::<Uuid, _>("subject")?),
                epoch: row.try_get("epoch")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect()
}

/// Drops what no living token can meet any more.
pub(crate) async fn sweep(db: &Database, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let mut tx = db.platform().await?;
    let swept = sqlx::query("delete from revocations where expires_at <= $1")
        .bind(now)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(swept.rows_affected())
}

/// Reads a notification: subject, epoch and end in seconds since 1970, parted by spaces
/// (`sql/trust.sql`).
pub(crate) fn parse(payload: &str) -> Option<Revoked> {
    let mut parts = payload.split(' ');
    let revoked = Revoked {
        subject: parts.next()?.parse().ok()?,
        epoch: parts.next()?.parse().ok()?,
        expires_at: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(revoked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_read_whole_or_not_at_all() {
        let subject = TokenId::mint();
        assert_eq!(
            parse(&format!("{subject} 3 1800000000")),
            Some(Revoked { subject, epoch: 3, expires_at: 1_800_000_000 })
        );
        assert_eq!(parse(&format!("{subject} 3")), None);
        assert_eq!(parse(&format!("{subject} 3 4 5")), None);
        assert_eq!(parse(""), None);
    }
}
