//! Sign-ins: who may, and which of them are alive.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_trust::Outlives;
use rota_types::{SessionId, TenantId, TokenId, UserId};
use uuid::Uuid;

use super::{Store, rows};
use crate::{
    error::Error,
    model::{Email, MAX_SESSIONS, Role},
};

/// The epoch that ends a sign-in's token; tokens carry 0.
const ENDED: i64 = 1;

/// What a sign-in is checked against.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    pub(crate) roles: Vec<Role>,
    /// PHC string.
    pub(crate) password_hash: String,
    pub(crate) suspended: bool,
}

/// A sign-in that begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) now: DateTime<Utc>,
    /// `None`: the token has no end.
    pub(crate) expires: Option<DateTime<Utc>>,
}

impl Store {
    /// Whose address it is, in whatever tenant: one read through the directory.
    pub(crate) async fn credentials(&self, email: &Email) -> Result<Option<Credentials>, Error> {
        let row = sqlx::query!(
            "select u.tenant_id, u.id, u.roles, u.password_hash, t.suspended
             from accounts.sign_ins s
             join accounts.users u on u.tenant_id = s.tenant_id and u.id = s.user_id
             join accounts.tenants t on t.id = s.tenant_id
             where s.email = $1",
            email.as_str(),
        )
        .fetch_optional(self.db.hot())
        .await?;
        row.map(|row| {
            Ok(Credentials {
                tenant: TenantId(row.tenant_id),
                user: UserId(row.id),
                roles: rows::roles(row.id, &row.roles)?,
                password_hash: row.password_hash,
                suspended: row.suspended,
            })
        })
        .transpose()
    }

    /// Begins a sign-in of whom the credentials prove, and ends the oldest beyond the number
    /// that a person may have. `false`: the password, the roles or the tenant are no longer as
    /// they were when they were checked.
    pub(crate) async fn begin_session(
        &self,
        credentials: &Credentials,
        session: &NewSession,
    ) -> Result<bool, Error> {
        let mut tx = self.db.tenant(credentials.tenant).await?;
        // Shared, so that a suspension comes wholly before or wholly after.
        let suspended = sqlx::query_scalar!(
            "select suspended from accounts.tenants where id = $1 for share",
            credentials.tenant.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if suspended != Some(false) {
            return Ok(false);
        }
        // The row is held, so that sign-ins of one person count each other.
        let updated = sqlx::query!(
            "update accounts.users set last_login_at = $3
             where tenant_id = $1 and id = $2 and password_hash = $4 and roles = $5",
            credentials.tenant.uuid(),
            credentials.user.uuid(),
            session.now,
            credentials.password_hash,
            &rows::names(&credentials.roles),
        )
        .execute(&mut *tx)
        .await?;
        if updated.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query!(
            "insert into accounts.sessions (tenant_id, id, user_id, created_at, expires_at)
             values ($1, $2, $3, $4, $5)",
            credentials.tenant.uuid(),
            session.id.uuid(),
            credentials.user.uuid(),
            session.now,
            session.expires,
        )
        .execute(&mut *tx)
        .await?;
        end_superfluous(&mut tx, credentials.user, session.now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends one sign-in. Ended already: done.
    pub(crate) async fn end_session(
        &self,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<(), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let ended = sqlx::query_as!(
            Ended,
            "delete from accounts.sessions where tenant_id = $1 and id = $2
             returning id, expires_at",
            tenant.uuid(),
            session.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        revoke(&mut tx, ended).await?;
        Ok(tx.commit().await?)
    }
}

/// A sign-in that was ended.
struct Ended {
    id: Uuid,
    expires_at: Option<DateTime<Utc>>,
}

/// Drops a person's sign-ins that have run out, and ends the oldest beyond the number allowed.
async fn end_superfluous(tx: &mut TenantTx, user: UserId, now: DateTime<Utc>) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "delete from accounts.sessions
         where tenant_id = $1 and user_id = $2 and expires_at <= $3",
        tenant,
        user.uuid(),
        now,
    )
    .execute(&mut **tx)
    .await?;
    let ended = sqlx::query_as!(
        Ended,
        "delete from accounts.sessions
         where tenant_id = $1 and id in (
             select id from accounts.sessions
             where tenant_id = $1 and user_id = $2
             order by created_at desc, id desc
             offset $3
         )
         returning id, expires_at",
        tenant,
        user.uuid(),
        MAX_SESSIONS,
    )
    .fetch_all(&mut **tx)
    .await?;
    revoke(tx, ended).await
}

/// Ends all sign-ins of a person but one.
pub(super) async fn end_others(
    tx: &mut TenantTx,
    user: UserId,
    kept: Option<SessionId>,
) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    let ended = sqlx::query_as!(
        Ended,
        "delete from accounts.sessions
         where tenant_id = $1 and user_id = $2 and id is distinct from $3
         returning id, expires_at",
        tenant,
        user.uuid(),
        kept.map(SessionId::uuid),
    )
    .fetch_all(&mut **tx)
    .await?;
    revoke(tx, ended).await
}

/// Ends all sign-ins of a tenant.
pub(super) async fn end_all(tx: &mut TenantTx) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    let ended = sqlx::query_as!(
        Ended,
        "delete from accounts.sessions where tenant_id = $1 returning id, expires_at",
        tenant,
    )
    .fetch_all(&mut **tx)
    .await?;
    revoke(tx, ended).await
}

async fn revoke(tx: &mut TenantTx, ended: Vec<Ended>) -> Result<(), Error> {
    for Ended { id, expires_at } in ended {
        let outlives = expires_at.map_or(Outlives::Forever, Outlives::Until);
        rota_trust::revoke(tx, TokenId(id), ENDED, outlives).await?;
    }
    Ok(())
}
