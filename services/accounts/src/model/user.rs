//! People.

use chrono::{DateTime, Utc};
use rota_types::{TenantId, UserId};

use super::{Email, Role};

/// How many sign-ins a person may have at a time (server API, tokens); one more ends the
/// oldest.
pub(crate) const MAX_SESSIONS: usize = 10;

/// A person who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) tenant: TenantId,
    pub(crate) id: UserId,
    pub(crate) email: Email,
    pub(crate) roles: Vec<Role>,
    pub(crate) created: DateTime<Utc>,
    pub(crate) updated: DateTime<Utc>,
    pub(crate) last_login: Option<DateTime<Utc>>,
}

/// Which people are meant: those for whom everything that is given holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UserFilter {
    pub(crate) ids: Option<Vec<UserId>>,
    pub(crate) emails: Option<Vec<Email>>,
    pub(crate) created_after: Option<DateTime<Utc>>,
    pub(crate) created_before: Option<DateTime<Utc>>,
    pub(crate) updated_after: Option<DateTime<Utc>>,
    pub(crate) updated_before: Option<DateTime<Utc>>,
}
