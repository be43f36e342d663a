//! The deployment that Mender's daemon was at, in its own words.
//!
//! The words of the Go client (1.x to 3.x) and of the C++ client (4 and 5) differ in the spelling
//! of some keys; both are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::store::OldStore;
use crate::machine::{
    ArtifactInfo, Deployment, DeploymentId, FailedPart, Health, InvalidDeploymentId, Origin,
    RebootNeed, Stage, Update,
};

const STATE: &str = "state";
/// The state in the words of a newer client, written until that client has been committed.
const UNCOMMITTED: &str = "state-uncommitted";

/// The version since client 2.0.
const VERSION: u64 = 2;

/// What clients before 2.0 installed, without saying so.
const ONLY_PAYLOAD_TYPE: &str = "rootfs-image";

/// The record of a deployment cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("it is not the JSON that it should be")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}, which is unknown")]
    Version(u64),
    #[error(transparent)]
    Id(#[from] InvalidDeploymentId),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    version: u64,
    #[serde(default)]
    name: String,
    update_info: UpdateInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateInfo {
    artifact: Artifact,
    #[serde(rename = "ID", default)]
    id: String,
    reboot_requested: Option<Vec<String>>,
    #[serde(default)]
    supports_rollback: String,
    #[serde(default)]
    state_data_store_count: u32,
    /// Only the C++ client says so.
    all_rollbacks_successful: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Artifact {
    source: Option<Source>,
    payload_types: Option<Vec<String>>,
    #[serde(rename = "ArtifactName", alias = "artifact_name", default)]
    name: String,
    #[serde(rename = "ArtifactGroup", alias = "artifact_group", default)]
    group: String,
    #[serde(rename = "TypeInfoProvides", alias = "artifact_provides")]
    provides: Option<BTreeMap<String, String>>,
    #[serde(rename = "ClearsArtifactProvides", alias = "clears_artifact_provides")]
    clears_provides: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "URI", default)]
    uri: String,
}

/// The deployment that the old client had begun and not ended. `is_controlled`: control maps may
/// have held it.
pub(super) fn interrupted(
    store: &OldStore,
    is_controlled: bool,
) -> Result<Option<Update>, StateError> {
    let Some(state) = state(store)? else { return Ok(None) };
    let id = state.update_info.id.clone();
    let Some(stage) = stage(&state.name, is_controlled) else { return Ok(None) };
    let uri = state.update_info.artifact.source.as_ref().map(|source| source.uri.clone());
    let deployment = Deployment { id: DeploymentId::try_from(id)?, uri: uri.unwrap_or_default() };
    let is_recorded =
        store.text("artifact-name").as_deref() == Some(state.update_info.artifact.name.as_str());
    Ok(Some(state.into_update(deployment, stage, is_recorded)))
}

fn state(store: &OldStore) -> Result<Option<State>, StateError> {
    let Some(json) = store.get(STATE) else { return Ok(None) };
    let state: State = serde_json::from_slice(json)?;
    if state.version == VERSION {
        return Ok(Some(state));
    }
    let is_before_2 = state.version < VERSION;
    let uncommitted: Option<State> =
        store.get(UNCOMMITTED).map(serde_json::from_slice).transpose()?;
    match uncommitted {
        // One of another deployment was left behind.
        Some(newer) if is_before_2 && newer.update_info.id != state.update_info.id => {
            Ok(Some(state))
        }
        Some(newer) if newer.version == VERSION => Ok(Some(newer)),
        _ if is_before_2 => Ok(Some(state)),
        _ => Err(StateError::Version(state.version)),
    }
}

/// Where the update goes on; `None` if it was over.
fn stage(name: &str, is_controlled: bool) -> Option<Stage> {
    Some(match name {
        // It waits here with the whole payload on the device.
        "update-after-store" if is_controlled => Stage::PauseInstall,
        "update-fetch" | "update-store" | "fetch-install-retry-wait" | "update-after-store" => {
            Stage::UpdateStore
        }
        "update-install" => Stage::UpdateInstall,
        "reboot" => Stage::Reboot,
        "after-reboot" | "verify-reboot" => Stage::AfterReboot,
        "update-commit" => Stage::UpdateCommit,
        "update-after-commit" | "update-after-first-commit" => Stage::UpdateAfterCommit,
        "rollback" => Stage::Rollback,
        "rollback-reboot" => Stage::RollbackReboot,
        "after-rollback-reboot" | "verify-rollback-reboot" => Stage::AfterRollbackReboot,
        "update-error" => Stage::UpdateError,
        // The Go client reports the end behind the cleanup, which may run again.
        "cleanup" | "update-status-report" | "update-retry-report" => Stage::Cleanup,
        "status-report-error" => return None,
        // Whatever else it was doing, it was in the middle of it.
        _ => Stage::Unknown,
    })
}

impl State {
    /// `is_recorded`: the old client has written down the new software as installed, which it does
    /// right behind the module's commit.
    fn into_update(self, deployment: Deployment, stage: Stage, is_recorded: bool) -> Update {
        let info = self.update_info;
        let is_before_2 = self.version < VERSION;
        let stage = match stage {
            Stage::UpdateCommit if is_recorded => Stage::UpdateAfterCommit,
            stage => stage,
        };
        let supports_rollback = match info.supports_rollback.as_str() {
            _ if is_before_2 => Some(true),
            "rollback-supported" => Some(true),
            "rollback-not-supported" => Some(false),
            _ => None,
        };
        let is_undone = info.all_rollbacks_successful.unwrap_or(supports_rollback == Some(true));
        let health =
            health(stage, is_undone, is_recorded && info.all_rollbacks_successful != Some(true));
        let artifact = info.artifact.into_info(is_before_2);
        let asked_for = info.reboot_requested.unwrap_or_default().pop();
        let reboot = match asked_for.as_deref() {
            // The Go client did it by itself, and so does the payload that comes after it.
            Some("reboot-type-automatic") => RebootNeed::System,
            _ if is_before_2 => RebootNeed::System,
            Some("reboot-type-custom") if is_system_image(artifact.as_ref()) => RebootNeed::System,
            Some("reboot-type-custom") => RebootNeed::Module,
            _ => RebootNeed::No,
        };
        Update {
            artifact,
            stage,
            reboot,
            supports_rollback,
            health,
            failed_part: health.is_failure().then_some(FailedPart::Install),
            committed: stage == Stage::UpdateAfterCommit
                || (stage == Stage::Cleanup && health == Health::Good),
            saves: info.state_data_store_count,
            taken_over: true,
            ..Update::new(Origin::Deployment(deployment))
        }
    }
}

/// What had gone wrong before. `is_undone`: whatever failed was made good by rolling back.
fn health(stage: Stage, is_undone: bool, is_recorded: bool) -> Health {
    match stage {
        Stage::Rollback | Stage::RollbackReboot | Stage::AfterRollbackReboot => Health::RolledBack,
        Stage::Cleanup if is_recorded => Health::Good,
        Stage::UpdateError | Stage::Cleanup if is_undone => Health::RolledBack,
        Stage::UpdateError | Stage::Cleanup => Health::Failed,
        _ => Health::Good,
    }
}

impl Artifact {
    /// `None` as long as the Artifact had not been read.
    fn into_info(self, is_before_2: bool) -> Option<ArtifactInfo> {
        let payload_type = match self.payload_types.unwrap_or_default().pop() {
            Some(payload_type) => payload_type,
            None if is_before_2 => ONLY_PAYLOAD_TYPE.to_owned(),
            None => return None,
        };
        Some(ArtifactInfo {
            name: self.name,
            group: Some(self.group).filter(|group| !group.is_empty()),
            provides: self.provides.unwrap_or_default(),
            // The old clients write none and nothing alike.
            clears_provides: self.clears_provides.filter(|list| !list.is_empty()),
            payload_type: Some(payload_type).filter(|payload_type| !payload_type.is_empty()),
        })
    }
}

fn is_system_image(artifact: Option<&ArtifactInfo>) -> bool {
    artifact.and_then(|artifact| artifact.payload_type.as_deref()) == Some(ONLY_PAYLOAD_TYPE)
}
