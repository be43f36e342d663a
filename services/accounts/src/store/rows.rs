//! Rows as they lie in the tables, and what is made of them.

use chrono::{DateTime, Utc};
use rota_types::{TenantId, UserId};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{Email, Role, Tenant, TenantToken, User},
};

#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    pub(super) tenant_id: Uuid,
    pub(super) id: Uuid,
    pub(super) email: String,
    pub(super) roles: Vec<String>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) last_login_at: Option<DateTime<Utc>>,
}

pub(super) struct TenantRow {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) token: String,
    pub(super) suspended: bool,
    pub(super) created_at: DateTime<Utc>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(row: UserRow) -> Result<Self, Error> {
        Ok(Self {
            tenant: TenantId(row.tenant_id),
            roles: roles(row.id, &row.roles)?,
            id: UserId(row.id),
            email: Email::from_stored(row.email),
            created: row.created_at,
            updated: row.updated_at,
            last_login: row.last_login_at,
        })
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: TenantId(row.id),
            name: row.name,
            token: TenantToken::from_text(row.token),
            suspended: row.suspended,
            created: row.created_at,
        }
    }
}

/// The roles in a user's row.
pub(super) fn roles(user: Uuid, names: &[String]) -> Result<Vec<Role>, Error> {
    let unreadable = |_| Error::Row { table: "users", column: "roles", row: user.to_string() };
    names.iter().map(|name| name.parse().map_err(unreadable)).collect()
}

/// Roles as a user's row holds them.
pub(super) fn names(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
}
