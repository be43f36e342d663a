//! Devices, their auth sets and tokens: `/api/management/v2/devauth`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a device stands: the best of its auth sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeviceStatus))]
pub enum Status {
    Pending,
    Accepted,
    Rejected,
    Preauthorized,
    /// A device without auth sets; never an auth set's own status.
    Noauth,
}

/// A device's identity together with one of its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthSet {
    pub id: String,
    pub device_id: String,
    pub identity_data: Map<String, Value>,
    /// A PEM `PUBLIC KEY` block.
    pub pubkey: String,
    pub status: Status,
    /// When the auth set was made.
    pub ts: DateTime<Utc>,
}

/// A device with its auth sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Device {
    pub id: String,
    pub identity_data: Map<String, Value>,
    pub status: Status,
    pub created_ts: DateTime<Utc>,
    pub updated_ts: DateTime<Utc>,
    /// When the device last authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_in_time: Option<DateTime<Utc>>,
    #[serde(default)]
    pub auth_sets: Vec<AuthSet>,
    /// The device is being removed everywhere.
    #[serde(default)]
    pub decommissioning: bool,
}

/// One value, or a list of them; both mean a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(values: OneOrMany) -> Self {
        match values {
            OneOrMany::One(value) => vec![value],
            OneOrMany::Many(values) => values,
        }
    }
}

/// Which devices to list: the body of `POST devices/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeviceSearch))]
pub struct Search {
    /// Any of these statuses; empty: all.
    pub status: OneOrMany,
    /// Any of these ids; empty: all.
    pub id: OneOrMany,
}

/// A device that shall be accepted as soon as it asks: the body of `POST devices`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preauthorize {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub identity_data: Map<String, Value>,
    /// A PEM `PUBLIC KEY` block.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub pubkey: String,
    /// Adds the key to a device that exists already instead of refusing it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
}

/// The status of an auth set, to read and to set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthSetStatus {
    /// `pending`, `accepted`, `rejected` or `preauthorized`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status: String,
}

/// A number of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Count {
    pub count: i64,
}

/// How many devices may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeviceLimit))]
pub struct Limit {
    /// -1: any number.
    pub limit: i64,
}
