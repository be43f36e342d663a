//! What is known of devices: `/api/management/v1/inventory` and `v2/inventory`.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who says an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// The device.
    Inventory,
    /// Its identity data and status.
    Identity,
    /// The server: times, group.
    System,
    /// Monitoring on the device.
    Monitor,
    /// Operators.
    Tags,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::Inventory, Self::Identity, Self::System, Self::Monitor, Self::Tags];

    /// The scope's word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Identity => "identity",
            Self::System => "system",
            Self::Monitor => "monitor",
            Self::Tags => "tags",
        }
    }

    /// The scope that `name` means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One attribute of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attribute {
    pub name: String,
    /// A string, a number, a boolean, or a list of strings or of numbers.
    pub value: Value,
    pub scope: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<DateTime<Utc>>,
}

/// A device and its attributes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeviceInventory))]
pub struct Device {
    pub id: String,
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_ts: Option<DateTime<Utc>>,
}

/// A tag as an operator writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tag {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub name: String,
    /// A string, a number, a boolean, or a list of strings or of numbers.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<DateTime<Utc>>,
}

/// The static group of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// `null`: none.
    pub group: Option<String>,
}

/// What a change of a group's members did. Counts of zero are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Updated {
    #[serde(skip_serializing_if = "is_zero")]
    pub matched_count: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub updated_count: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

/// An attribute that filters may name, and on how many devices it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilterAttribute {
    pub name: String,
    pub scope: Scope,
    pub count: i64,
}

/// A condition on one attribute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Predicate {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub scope: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub attribute: String,
    /// `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$ltne`, `$in`, `$nin`, `$exists` or `$regex`.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(required))]
    pub operator: String,
    /// What the operator compares with: a list for `$in` and `$nin`, a boolean for `$exists`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub value: Option<Value>,
}

/// What to order devices by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SortCriterion {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub scope: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub attribute: String,
    /// `asc` or `desc`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub order: String,
}

/// An attribute that an answer shall hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SelectAttribute {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub scope: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub attribute: String,
}

/// Which devices to find: the body of `POST filters/search`. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = InventorySearch))]
pub struct Search {
    /// From 1; 0 or absent: the first.
    pub page: u32,
    /// 1..500; 0 or absent: 20.
    pub per_page: u32,
    /// Only these devices; empty: all.
    pub device_ids: Vec<String>,
    /// Words to find in ids, groups and texts.
    pub text: String,
    pub filters: Vec<Predicate>,
    pub sort: Vec<SortCriterion>,
    /// Which attributes to answer with; empty: all.
    pub attributes: Vec<SelectAttribute>,
}

/// Numbers of devices by their tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TierCounts {
    pub standard: i64,
    pub micro: i64,
    pub system: i64,
}

/// Numbers of devices by their status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusCounts {
    pub accepted: TierCounts,
    pub pending: TierCounts,
}

/// The tenant's devices in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = InventoryStatistics))]
pub struct Statistics {
    pub devices_by_status: StatusCounts,
}
