//! What devices send and receive.
//!
//! Readers are lenient, as Mender's servers and clients are: unknown members are ignored and
//! members that only some versions send may be absent. Member names are matched exactly; the
//! gateway folds their case before it reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::control_maps::ControlMap;

/// Body of `POST /api/devices/v1/authentication/auth_requests`.
///
/// The request is signed over its exact bytes, so a receiver verifies before it parses. The answer
/// is the device token as plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthRequest {
    /// The device's identity: a JSON object, carried as a string.
    #[serde(default)]
    pub id_data: String,
    /// The device's public key: a PEM `PUBLIC KEY` block.
    #[serde(default)]
    pub pubkey: String,
    /// Names the tenant; absent on servers with one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_token: Option<String>,
    /// `standard`, `system` or `micro`; older clients send none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}

/// One attribute of `PUT` and `PATCH /api/devices/v1/inventory/device/attributes`, whose body is
/// an array of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attribute {
    pub name: String,
    /// A string, a number, a boolean, or a list of one of them.
    pub value: serde_json::Value,
    /// Free text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Body of `POST /api/devices/v2/deployments/device/deployments/next`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NextRequest {
    #[serde(default)]
    pub device_provides: DeviceProvides,
    /// Whether the device understands update control maps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub update_control_map: bool,
}

/// What is installed on a device: also the whole body of
/// `POST /api/devices/v1/deployments/device/deployments/next`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceProvides {
    #[serde(default)]
    pub device_type: String,
    #[serde(default)]
    pub artifact_name: String,
    /// Everything else that installed Artifacts have stated, `artifact_group` included.
    #[serde(flatten)]
    pub other: BTreeMap<String, String>,
}

/// A deployment for the asking device: the 200 answer to every form of `deployments/next`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Instructions {
    /// The deployment's id, which status reports and logs name.
    pub id: String,
    pub artifact: InstructionsArtifact,
}

/// The 200 answer to `POST /api/devices/v2/deployments/device/deployments/next`: instructions, and
/// what may hold them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlledInstructions {
    #[serde(flatten)]
    pub instructions: Instructions,
    /// The deployment's, for a device that said that it understands it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_control_map: Option<ControlMap>,
}

/// The 200 answer to
/// `GET /api/devices/v2/deployments/device/deployments/{id}/update_control_map`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UpdateControlMap {
    pub update_control_map: ControlMap,
}

/// Where the Artifact of a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstructionsArtifact {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default)]
    pub artifact_name: String,
    pub source: Source,
    #[serde(default)]
    pub device_types_compatible: Vec<String>,
}

/// A download link that needs no token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Source {
    pub uri: String,
    /// RFC 3339; after that the server is asked anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire: Option<String>,
}

/// Body of `PUT /api/devices/v1/deployments/device/deployments/{id}/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatusReport {
    /// One of [`status`]'s words.
    #[serde(default)]
    pub status: String,
    /// Free text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substate: Option<String>,
}

/// The words that a device may report.
pub mod status {
    pub const DOWNLOADING: &str = "downloading";
    pub const PAUSE_BEFORE_INSTALLING: &str = "pause_before_installing";
    pub const INSTALLING: &str = "installing";
    pub const PAUSE_BEFORE_REBOOTING: &str = "pause_before_rebooting";
    pub const REBOOTING: &str = "rebooting";
    pub const PAUSE_BEFORE_COMMITTING: &str = "pause_before_committing";
    pub const SUCCESS: &str = "success";
    pub const FAILURE: &str = "failure";
    pub const ALREADY_INSTALLED: &str = "already-installed";
    pub const INCOMPATIBLE_TIER: &str = "incompatible_tier";
}

/// Body of `PUT /api/devices/v1/deployments/device/deployments/{id}/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeploymentLog {
    #[serde(default)]
    pub messages: Vec<LogMessage>,
}

/// One line of a deployment's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogMessage {
    /// RFC 3339.
    pub timestamp: String,
    pub level: String,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poll_body_is_one_flat_object_of_provides() {
        let request = NextRequest {
            device_provides: DeviceProvides {
                device_type: "beaglebone".into(),
                artifact_name: "release-1".into(),
                other: BTreeMap::from([("rootfs-image.version".into(), "1".into())]),
            },
            update_control_map: false,
        };
        assert_eq!(
            serde_json::to_value(request).unwrap(),
            serde_json::json!({"device_provides": {
                "device_type": "beaglebone",
                "artifact_name": "release-1",
                "rootfs-image.version": "1",
            }})
        );
    }

    #[test]
    fn instructions_of_old_and_new_servers_are_read() {
        let minimal = r#"{"id":"d","artifact":{"source":{"uri":"https://a/b"}},"new":[1]}"#;
        let instructions: Instructions = serde_json::from_str(minimal).unwrap();
        assert_eq!(instructions.artifact.source.uri, "https://a/b");
        assert_eq!(instructions.artifact.artifact_name, "");
    }
}
