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
    pub(crate) now: DateTime<Utc>,
    /// `None`: the token has no end.
    pub(crate) expires: Option<DateTime<Utc>>,
}

/// A sign-in that has begun: what its token is revoked by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) epoch: i64,
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
    /// that a person may have. `None`: the password, the roles or the tenant are no longer as
    /// they were when they were checked.
    pub(crate) async fn begin_session(
        &self,
        credentials: &Credentials,
        new: &NewSession,
    ) -> Result<Option<Session>, Error> {
        let mut tx = self.db.tenant(credentials.tenant).await?;
        // Shared, so that a suspension comes wholly before or wholly after.
        let suspended = sqlx::query_scalar!(
            "select suspended from accounts.tenants where id = $1 for share",
            credentials.tenant.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if suspended != Some(false) {
            return Ok(None);
        }
        // The row is held, so that sign-ins of one person count each other.
        let updated = sqlx::query!(
            "update accounts.users set last_login_at = $3
             where tenant_id = $1 and id = $2 and password_hash = $4 and roles = $5",
            credentials.tenant.uuid(),
            credentials.user.uuid(),
            new.now,
            credentials.password_hash,
            &rows::names(&credentials.roles),
        )
        .execute(&mut *tx)
        .await?;
        if updated.rows_affected() == 0 {
            return Ok(None);
        }
        let session = match vacancy(&mut tx, credentials.user, new.now).await? {
            Some(session) => take_over(&mut tx, session, credentials.user, new).await?,
            None => add(&mut tx, credentials.user, new).await?,
        };
        tx.commit().await?;
        Ok(Some(session))
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
            "update accounts.sessions set ended = true
             where tenant_id = $1 and id = $2 and not ended
             returning id, epoch, expires_at",
            tenant.uuid(),
            session.uuid(),
        )
        .fetch_all(&mut *tx)
        .await?;
        revoke(&mut tx, ended).await?;
        Ok(tx.commit().await?)
    }
}

/// The row that the next sign-in of a person takes over: one whose token is over, also of
/// somebody who was removed; where there is none, and the person has as many as are allowed, the
/// oldest, which ends. The person's row must be held.
async fn vacancy(
    tx: &mut TenantTx,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<Option<SessionId>, Error> {
    let tenant = tx.tenant().uuid();
    let own = sqlx::query!(
        r#"select id, epoch, expires_at, ended or coalesce(expires_at <= $3, false) as "over!"
           from accounts.sessions where tenant_id = $1 and user_id = $2
           order by "over!" desc, created_at, id
           for update"#,
        tenant,
        user.uuid(),
        now,
    )
    .fetch_all(&mut **tx)
    .await?;
    match own.first() {
        Some(first) if first.over => Ok(Some(SessionId(first.id))),
        Some(oldest) if own.len() >= MAX_SESSIONS => {
            let (id, epoch, expires_at) = (oldest.id, oldest.epoch, oldest.expires_at);
            revoke(tx, vec![Ended { id, epoch, expires_at }]).await?;
            Ok(Some(SessionId(id)))
        }
        _ => {
            let left = sqlx::query_scalar!(
                "select id from accounts.sessions where tenant_id = $1 and user_id is null
                 limit 1 for update skip locked",
                tenant,
            )
            .fetch_optional(&mut **tx)
            .await?;
            Ok(left.map(SessionId))
        }
    }
}

/// Makes a row that is over the sign-in that begins.
async fn take_over(
    tx: &mut TenantTx,
    id: SessionId,
    user: UserId,
    new: &NewSession,
) -> Result<Session, Error> {
    let epoch = sqlx::query_scalar!(
        "update accounts.sessions
         set user_id = $3, epoch = epoch + 1, ended = false, created_at = $4, expires_at = $5
         where tenant_id = $1 and id = $2
         returning epoch",
        tx.tenant().uuid(),
        id.uuid(),
        user.uuid(),
        new.now,
        new.expires,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Session { id, epoch })
}

/// Adds a row for the sign-in that begins.
async fn add(tx: &mut TenantTx, user: UserId, new: &NewSession) -> Result<Session, Error> {
    let id = SessionId::mint();
    let epoch = sqlx::query_scalar!(
        "insert into accounts.sessions (tenant_id, id, user_id, created_at, expires_at)
         values ($1, $2, $3, $4, $5)
         returning epoch",
        tx.tenant().uuid(),
        id.uuid(),
        user.uuid(),
        new.now,
        new.expires,
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(Session { id, epoch })
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
        "update accounts.sessions set ended = true
         where tenant_id = $1 and user_id = $2 and id is distinct from $3 and not ended
         returning id, epoch, expires_at",
        tenant,
        user.uuid(),
        kept.map(SessionId::uuid),
    )
    .fetch_all(&mut **tx)
    .await?;
    revoke(tx, ended).await
}

/// Ends all sign-ins of a person who is removed, and leaves their rows to the tenant's others.
pub(super) async fn leave_all(tx: &mut TenantTx, user: UserId) -> Result<(), Error> {
    end_others(tx, user, None).await?;
    sqlx::query!(
        "update accounts.sessions set user_id = null where tenant_id = $1 and user_id = $2",
        tx.tenant().uuid(),
        user.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends all sign-ins of a tenant.
pub(super) async fn end_all(tx: &mut TenantTx) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    let ended = sqlx::query_as!(
        Ended,
        "update accounts.sessions set ended = true where tenant_id = $1 and not ended
         returning id, epoch, expires_at",
        tenant,
    )
    .fetch_all(&mut **tx)
    .await?;
    revoke(tx, ended).await
}

/// A sign-in that was ended.
struct Ended {
    id: Uuid,
    epoch: i64,
    expires_at: Option<DateTime<Utc>>,
}

/// Refuses the tokens of what was ended, and all that had their rows before.
async fn revoke(tx: &mut TenantTx, ended: Vec<Ended>) -> Result<(), Error> {
    for Ended { id, epoch, expires_at } in ended {
        let outlives = expires_at.map_or(Outlives::Forever, Outlives::Until);
        rota_trust::revoke(tx, TokenId(id), epoch + 1, outlives).await?;
    }
    Ok(())
}
