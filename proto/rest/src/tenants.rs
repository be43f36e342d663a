//! The tenant of the person who asks: `/api/management/v1/tenantadm`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A customer of the platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tenant {
    pub id: String,
    pub name: String,
    /// What its devices carry as `TenantToken`.
    pub tenant_token: String,
    /// `active` or `suspended`.
    pub status: String,
    pub created_at: DateTime<Utc>,
}
