//! Deployments and what became of them on each device:
//! `/api/management/v1/deployments/deployments` and its v2.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{artifacts::Contents, control_maps::ControlMap};

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeploymentStatus))]
pub enum Status {
    /// Its time has not come.
    Scheduled,
    /// No device has begun.
    Pending,
    InProgress,
    Finished,
}

/// The words that a device's part in a deployment may have.
pub const DEVICE_STATUSES: [&str; 15] = [
    "success",
    "pending",
    "downloading",
    "rebooting",
    "installing",
    "failure",
    "noartifact",
    "artifact_too_big",
    "already-installed",
    "aborted",
    "decommissioned",
    "pause_before_installing",
    "pause_before_rebooting",
    "pause_before_committing",
    "incompatible_tier",
];

/// Every word of [`DEVICE_STATUSES`] and its number of devices.
pub type Counts = BTreeMap<String, u64>;

/// A deployment in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = DeploymentStatistics))]
pub struct Statistics {
    pub status: Counts,
    /// Bytes handed out to devices.
    pub total_size: u64,
}

/// A deployment of a release to devices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Deployment {
    pub id: String,
    pub name: String,
    pub artifact_name: String,
    pub created: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<DateTime<Utc>>,
    pub status: Status,
    /// Devices that have taken part so far.
    pub device_count: u64,
    /// Devices that it is for.
    pub max_devices: u64,
    #[serde(default)]
    pub initial_device_count: u64,
    /// Ids of the Artifacts that it installs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// `software`.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force_installation: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_control_map: Option<ControlMap>,
    #[serde(default)]
    pub statistics: Statistics,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What to deploy: the body of `POST deployments`, and without its targets of
/// `POST deployments/group/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewDeployment {
    #[cfg_attr(feature = "openapi", schema(required))]
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(required))]
    pub artifact_name: String,
    /// Ids of devices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// All accepted devices.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all_devices: bool,
    /// Also onto devices that have it already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force_installation: bool,
    /// How often a device that failed is offered it again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Not supported: refused when present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Value>,
    /// Not supported: refused when present.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniform_phases: Option<Value>,
    /// What holds the update on its devices, and can be replaced later. Anything unknown in it
    /// is refused, which is why it comes as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<ControlMap>))]
    pub update_control_map: Option<Value>,
}

/// Another control map for a deployment that has one: the body of `PATCH deployments/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewControlMap {
    /// As it was written.
    #[cfg_attr(feature = "openapi", schema(required, value_type = ControlMap))]
    pub update_control_map: Option<Value>,
}

/// A new status for a deployment: the body of `PUT deployments/{id}/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewStatus {
    /// `aborted`.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub status: String,
}

/// Of which deployments to tell the numbers: the body of `POST deployments/statistics/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatisticsQuery {
    /// At most 100.
    #[cfg_attr(feature = "openapi", schema(required))]
    pub deployment_ids: Vec<String>,
}

/// The numbers of one deployment among several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatisticsOf {
    pub id: String,
    pub stats: Counts,
}

/// What people say of an Artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageMeta {
    pub description: String,
}

/// The Artifact that was chosen for a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Image {
    pub id: String,
    #[serde(default)]
    pub meta: ImageMeta,
    pub meta_artifact: Contents,
    /// Of the whole file, in bytes.
    pub size: u64,
    pub modified: DateTime<Utc>,
}

/// What became of a deployment on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceDeployment {
    /// The device's id.
    pub id: String,
    /// One of [`DEVICE_STATUSES`].
    pub status: String,
    pub created: DateTime<Utc>,
    /// When the device began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub device_type: String,
    /// Whether the device sent a log.
    pub log: bool,
    /// What the device said besides its status, or why it was told nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub substate: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

/// A deployment in a device's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryEntry {
    /// Of the device's part in the deployment.
    pub id: String,
    pub deployment: Deployment,
    pub device: DeviceDeployment,
}
