//! What events say: the `data` of each type, as producers write it and consumers read it.
//!
//! The envelope (id, tenant, actor, time, …) is the bus's. A new field is optional to its
//! readers; a changed meaning is a new version of the type.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{DeploymentId, DeviceId};

/// The data of one event type, with the words that name it on the bus.
pub trait EventData: Serialize + for<'de> Deserialize<'de> {
    /// What the event is about: the second-last word of its subject.
    const ENTITY: &'static str;
    /// What happened: the last word of its subject.
    const TYPE: &'static str;
    /// Grows when the meaning of the data changes.
    const VERSION: u16 = 1;
}

/// deviceauth: a device came into being, or its status or identity changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatusChanged {
    /// The device.
    pub device: DeviceId,
    /// The status word: pending, accepted, rejected, preauthorized, noauth.
    pub status: String,
    /// The identity data, a JSON object.
    pub identity_data: serde_json::Map<String, serde_json::Value>,
    /// Grows with each change of the device, so that an event that comes late changes nothing.
    pub revision: i64,
    /// When the device was first seen (UTC).
    pub created: DateTime<Utc>,
    /// When the device last authenticated (UTC).
    pub check_in: Option<DateTime<Utc>>,
    /// Whether the device became accepted for the first time.
    pub first_accepted: bool,
}

impl EventData for DeviceStatusChanged {
    const ENTITY: &'static str = "device";
    const TYPE: &'static str = "status_changed";
}

/// deviceauth: a device is to be removed everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDecommissioned {
    /// The device.
    pub device: DeviceId,
}

impl EventData for DeviceDecommissioned {
    const ENTITY: &'static str = "device";
    const TYPE: &'static str = "decommissioned";
}

/// deployments: a deployment was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentCreated {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its name.
    pub name: String,
    /// The release it installs.
    pub artifact_name: String,
}

impl EventData for DeploymentCreated {
    const ENTITY: &'static str = "deployment";
    const TYPE: &'static str = "created";
}

/// deployments: a deployment was aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentAborted {
    /// The deployment.
    pub deployment: DeploymentId,
}

impl EventData for DeploymentAborted {
    const ENTITY: &'static str = "deployment";
    const TYPE: &'static str = "aborted";
}
