//! The update by hand that Mender's client was at, in its own words.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::store::OldStore;
use crate::machine::{ArtifactInfo, FailedPart, Health, Origin, Stage, Update};

const KEY: &str = "standalone-state";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    version: u64,
    artifact_name: String,
    #[serde(default)]
    artifact_group: Option<String>,
    artifact_type_info_provides: Option<BTreeMap<String, String>>,
    artifact_clears_provides: Option<Vec<String>>,
    payload_types: Option<Vec<String>>,
    /// Since version 2.
    #[serde(rename = "InState", default)]
    place: String,
    #[serde(default)]
    failed: bool,
    #[serde(default)]
    rolled_back: bool,
}

/// The update by hand that had been begun and not ended.
pub(super) fn interrupted(store: &OldStore) -> Result<Option<Update>, serde_json::Error> {
    let Some(json) = store.get(KEY) else { return Ok(None) };
    serde_json::from_slice(json).map(|state: State| Some(state.into_update()))
}

impl State {
    fn into_update(self) -> Update {
        let stage = self.stage();
        let health = match (self.failed, self.rolled_back) {
            (_, true) => Health::RolledBack,
            (true, false) => Health::Failed,
            (false, false) => Health::Good,
        };
        let artifact = ArtifactInfo {
            name: self.artifact_name,
            group: self.artifact_group.filter(|group| !group.is_empty()),
            provides: self.artifact_type_info_provides.unwrap_or_default(),
            clears_provides: self.artifact_clears_provides,
            payload_type: self
                .payload_types
                .and_then(|mut types| types.pop())
                .filter(|payload_type| !payload_type.is_empty()),
        };
        Update {
            artifact: Some(artifact),
            stage,
            // The old client waits for a decision only where there is something to decide.
            supports_rollback: (stage == Stage::BeforeCommit).then_some(true),
            health,
            failed_part: health.is_failure().then_some(FailedPart::Install),
            committed: matches!(stage, Stage::BeforeCommitLeave | Stage::UpdateAfterCommit)
                || (stage == Stage::Cleanup && health == Health::Good),
            taken_over: true,
            ..Update::new(Origin::Standalone)
        }
    }

    fn stage(&self) -> Stage {
        match self.place.as_str() {
            // The Go client stops at this one point only, and so has no word for it.
            _ if self.version < 2 => Stage::BeforeCommit,
            "Before_ArtifactInstall_Enter" => Stage::BeforeInstall,
            "ArtifactInstall_Enter" => Stage::UpdateInstall,
            "Before_ArtifactCommit_Enter" => Stage::BeforeCommit,
            "ArtifactCommit_Enter" => Stage::UpdateCommit,
            "Before_ArtifactCommit_Leave" => Stage::BeforeCommitLeave,
            "ArtifactCommit_Leave" => Stage::UpdateAfterCommit,
            "ArtifactRollback_Enter" => Stage::Rollback,
            "ArtifactFailure_Enter" => Stage::UpdateError,
            "Cleanup" => Stage::Cleanup,
            _ => Stage::Unknown,
        }
    }
}
