//! People in their tenants, and the directory over all of them.

use chrono::{DateTime, Utc};
use rota_store::{TenantTx, unique_violation};
use rota_types::{SessionId, TenantId, UserId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    Store,
    rows::{self, UserRow},
    sessions,
};
use crate::{
    error::Error,
    model::{Email, Role, User, UserFilter},
};

/// The most people in one list; it has no pages (server API, users).
const MAX_LISTED: i64 = 10_000;

/// A person who is new.
#[derive(Debug, Clone)]
pub(crate) struct NewUser {
    pub(crate) user: User,
    /// PHC string.
    pub(crate) password_hash: String,
}

/// What changes of a person, and which of their sign-ins survives it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edit {
    pub(crate) email: Option<Email>,
    /// PHC string.
    pub(crate) password_hash: Option<String>,
    pub(crate) roles: Option<Vec<Role>>,
    pub(crate) kept: Option<SessionId>,
}

impl Store {
    pub(crate) async fn add_user(&self, new: &NewUser) -> Result<(), Error> {
        let mut tx = self.db.tenant(new.user.tenant).await?;
        insert(&mut tx, new).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn user(&self, tenant: TenantId, id: UserId) -> Result<Option<User>, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let row = sqlx::query_as!(
            UserRow,
            "select tenant_id, id, email, roles, created_at, updated_at, last_login_at
             from accounts.users where tenant_id = $1 and id = $2",
            tenant.uuid(),
            id.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        row.map(User::try_from).transpose()
    }

    /// The hash of a person's password.
    pub(crate) async fn password_hash(
        &self,
        tenant: TenantId,
        id: UserId,
    ) -> Result<Option<String>, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let hash = sqlx::query_scalar!(
            "select password_hash from accounts.users where tenant_id = $1 and id = $2",
            tenant.uuid(),
            id.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(hash)
    }

    /// People by e-mail address.
    pub(crate) async fn users(
        &self,
        tenant: TenantId,
        filter: &UserFilter,
    ) -> Result<Vec<User>, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let mut query = QueryBuilder::<Postgres>::new(
            "select tenant_id, id, email, roles, created_at, updated_at, last_login_at
             from accounts.users where tenant_id = ",
        );
        query.push_bind(tenant.uuid());
        if let Some(ids) = &filter.ids {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
            query.push(" and id = any(").push_bind(ids).push(")");
        }
        if let Some(emails) = &filter.emails {
            let emails: Vec<String> = emails.iter().map(Email::to_string).collect();
            query.push(" and email = any(").push_bind(emails).push(")");
        }
        let bounds = [
            (" and created_at > ", filter.created_after),
            (" and created_at < ", filter.created_before),
            (" and updated_at > ", filter.updated_after),
            (" and updated_at < ", filter.updated_before),
        ];
        for (condition, bound) in bounds {
            if let Some(bound) = bound {
                query.push(condition).push_bind(bound);
            }
        }
        query.push(" order by email limit ").push_bind(MAX_LISTED);
        let rows: Vec<UserRow> = query.build_query_as().fetch_all(&mut *tx).await?;
        rows.into_iter().map(User::try_from).collect()
    }

    /// Changes a person. Whatever changes ends their other sign-ins: those were made with
    /// what no longer holds.
    pub(crate) async fn edit_user(
        &self,
        tenant: TenantId,
        id: UserId,
        edit: &Edit,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let email = edit.email.as_ref().map(Email::as_str);
        let roles = edit.roles.as_deref().map(rows::names);
        let updated = sqlx::query!(
            "update accounts.users
             set email = coalesce($3, email), password_hash = coalesce($4, password_hash),
                 roles = coalesce($5, roles), updated_at = $6
             where tenant_id = $1 and id = $2",
            tenant.uuid(),
            id.uuid(),
            email,
            edit.password_hash,
            roles.as_deref(),
            now,
        )
        .execute(&mut *tx)
        .await
        .map_err(duplicate)?;
        if updated.rows_affected() == 0 {
            return Err(Error::UserNotFound);
        }
        if let Some(email) = email {
            sqlx::query!(
                "update accounts.sign_ins set email = $3 where tenant_id = $1 and user_id = $2",
                tenant.uuid(),
                id.uuid(),
                email,
            )
            .execute(&mut *tx)
            .await
            .map_err(duplicate)?;
        }
        sessions::end_others(&mut tx, id, edit.kept).await?;
        Ok(tx.commit().await?)
    }

    /// Removes a person and their sign-ins. Gone already: done.
    pub(crate) async fn remove_user(&self, tenant: TenantId, id: UserId) -> Result<(), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        // Held first, so that no sign-in begins meanwhile.
        sqlx::query!(
            "select id from accounts.users where tenant_id = $1 and id = $2 for update",
            tenant.uuid(),
            id.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        sessions::leave_all(&mut tx, id).await?;
        sqlx::query!(
            "delete from accounts.sign_ins where tenant_id = $1 and user_id = $2",
            tenant.uuid(),
            id.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!(
            "delete from accounts.users where tenant_id = $1 and id = $2",
            tenant.uuid(),
            id.uuid(),
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}

/// Adds a person and their line in the directory, which refuses an address that is anybody's.
pub(super) async fn insert(tx: &mut TenantTx, new: &NewUser) -> Result<(), Error> {
    let NewUser { user, password_hash } = new;
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into accounts.sign_ins (email, tenant_id, user_id) values ($1, $2, $3)",
        user.email.as_str(),
        tenant,
        user.id.uuid(),
    )
    .execute(&mut **tx)
    .await
    .map_err(duplicate)?;
    sqlx::query!(
        "insert into accounts.users
             (tenant_id, id, email, password_hash, roles, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        tenant,
        user.id.uuid(),
        user.email.as_str(),
        password_hash,
        &rows::names(&user.roles),
        user.created,
    )
    .execute(&mut **tx)
    .await
    .map_err(duplicate)?;
    Ok(())
}

/// What a refused address means.
fn duplicate(error: sqlx::Error) -> Error {
    if unique_violation(&error).is_some() { Error::Duplicate } else { error.into() }
}
