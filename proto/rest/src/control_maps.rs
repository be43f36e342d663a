//! Update control maps: what holds a deployment's updates on its devices, ends them, or lets them
//! pass.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An update control map, as servers tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlMap {
    /// The deployment's id, whatever was sent.
    pub id: String,
    /// -10 to 10: which of several maps on a device decide.
    pub priority: i32,
    /// One rule for each of `ArtifactInstall_Enter`, `ArtifactReboot_Enter` and
    /// `ArtifactCommit_Enter`, or none.
    pub states: BTreeMap<String, ControlRule>,
}

/// What a map says at one point.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControlRule {
    /// `continue` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<ControlAction>,
    /// What holds when the device could not ask for the map again in time; never `pause`. When
    /// absent `fail` after `pause`, and otherwise the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_map_expire: Option<ControlAction>,
    /// What takes the action's place once it was heard; the action when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_action_executed: Option<ControlAction>,
}

/// What may happen to an update at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ControlAction {
    /// No opinion.
    Continue,
    /// Go on, whatever maps of a lower priority say.
    ForceContinue,
    Pause,
    Fail,
}
