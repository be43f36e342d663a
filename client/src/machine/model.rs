//! What an update is, and what of it survives a power cut.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{Milestone, StopPoint};

/// Names a deployment on the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId(String);

/// The id would not be safe in addresses and file names.
#[derive(Debug, thiserror::Error)]
#[error("deployment id {0:?} is not 1 to 128 letters, digits, '-' or '_'")]
pub struct InvalidDeploymentId(String);

impl DeploymentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = InvalidDeploymentId;

    fn try_from(id: String) -> Result<Self, InvalidDeploymentId> {
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if (1..=128).contains(&id.len()) && id.chars().all(safe) {
            Ok(Self(id))
        } else {
            Err(InvalidDeploymentId(id))
        }
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> Self {
        id.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the server offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    /// Where the Artifact is; needs no token.
    pub uri: String,
}

/// Who wants this update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The server; it gets reports, and the machine reboots and commits by itself.
    Deployment(Deployment),
    /// An operator at the device, who reboots, commits or rolls back by command.
    Standalone,
}

/// What the headers of an Artifact say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactInfo {
    pub name: String,
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub provides: BTreeMap<String, String>,
    /// `None` when the Artifact says nothing, which differs from an empty list.
    #[serde(default)]
    pub clears_provides: Option<Vec<String>>,
    /// The Update Module to call; `None` for an Artifact that only changes provides.
    #[serde(default)]
    pub payload_type: Option<String>,
}

/// Where an interrupted update is taken up again; the words are those of Mender's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    UpdateStore,
    UpdateInstall,
    Reboot,
    AfterReboot,
    UpdateCommit,
    UpdateAfterCommit,
    Rollback,
    RollbackReboot,
    AfterRollbackReboot,
    UpdateError,
    Cleanup,
    /// A standalone update was told to stop before it is installed.
    BeforeInstall,
    /// A standalone update waits for `commit` or `rollback`.
    BeforeCommit,
    /// Held before it is installed, the device restarts or what it installed is committed.
    PauseInstall,
    PauseReboot,
    PauseCommit,
    /// The device has rebooted for an update that must not go on: the reboot counts as failed.
    RebootRefused,
    /// A standalone update was told to stop after its module committed it.
    BeforeCommitLeave,
    /// A newer client wrote a word that this one does not know.
    #[serde(other)]
    Unknown,
}

impl Stage {
    /// Whether the update is held.
    pub fn is_pause(self) -> bool {
        matches!(self, Self::PauseInstall | Self::PauseReboot | Self::PauseCommit)
    }
}

/// How a module wants the device restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootNeed {
    #[default]
    No,
    /// The module's own `ArtifactReboot` does it.
    Module,
    /// The client restarts the system.
    System,
}

/// What has gone wrong so far, and whether it was made good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    #[default]
    Good,
    /// Something failed after the device was changed; nothing has been undone yet.
    Failed,
    /// The update failed and the previous software is in place.
    RolledBack,
    /// The update failed and so did a step on the way back.
    RollbackFailed,
}

impl Health {
    /// Whether the deployment is to be reported as failed.
    pub fn is_failure(self) -> bool {
        self != Self::Good
    }

    /// Whether nobody can say what is installed now.
    pub fn is_inconsistent(self) -> bool {
        matches!(self, Self::Failed | Self::RollbackFailed)
    }

    /// One more failure.
    #[must_use]
    pub fn worse(self) -> Self {
        match self {
            Self::Good | Self::Failed => Self::Failed,
            Self::RolledBack | Self::RollbackFailed => Self::RollbackFailed,
        }
    }
}

/// Which part of an update failed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedPart {
    Download,
    Install,
    Commit,
    Cleanup,
}

/// What the server has not heard of an update that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owed {
    /// That it succeeded.
    Success,
    /// That it failed, and then its log.
    Failure,
    /// The log of a failure that it knows of.
    Log,
}

/// All that must survive a power cut during an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact about the update")]
pub struct Update {
    pub origin: Origin,
    pub stage: Stage,
    #[serde(default)]
    pub artifact: Option<ArtifactInfo>,
    /// The module's last answer to `NeedsArtifactReboot`.
    #[serde(default)]
    pub reboot: RebootNeed,
    /// The module's answer to `SupportsRollback`, once asked.
    #[serde(default)]
    pub supports_rollback: Option<bool>,
    #[serde(default)]
    pub health: Health,
    #[serde(default)]
    pub failed_part: Option<FailedPart>,
    /// The module's `ArtifactCommit` has succeeded: there is no way back.
    #[serde(default)]
    pub committed: bool,
    /// Journal writes and restarts so far; see [`super::MAX_SAVES`].
    #[serde(default)]
    pub saves: u32,
    /// The client was started with this update under way.
    #[serde(skip)]
    pub is_resumed: bool,
    /// The last attempt to journal it failed.
    #[serde(skip)]
    pub is_unsaved: bool,
    /// Another client began it, which may be asked to finish it, too.
    #[serde(default)]
    pub taken_over: bool,
    /// Tells the programs of the command by hand that is at work from all others; none while the
    /// update waits for the next command.
    #[serde(default)]
    pub run: Option<String>,
    /// Where the command by hand that is at work is to stop. Each command says that anew.
    #[serde(skip)]
    pub stop_before: Vec<StopPoint>,
    /// What the command at work has come to so far.
    #[serde(skip)]
    pub milestones: Vec<Milestone>,
}

impl Update {
    /// An update of which nothing has been done yet.
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            stage: Stage::UpdateStore,
            artifact: None,
            reboot: RebootNeed::No,
            supports_rollback: None,
            health: Health::Good,
            failed_part: None,
            committed: false,
            saves: 0,
            is_resumed: false,
            is_unsaved: false,
            taken_over: false,
            run: None,
            stop_before: Vec::new(),
            milestones: Vec::new(),
        }
    }

    /// An update of which only this much of the record can be read.
    pub(crate) fn not_understood(origin: Origin, artifact: Option<ArtifactInfo>) -> Self {
        Self { artifact, stage: Stage::Unknown, ..Self::new(origin) }
    }

    /// The deployment, unless the update was started by hand.
    pub fn deployment(&self) -> Option<&Deployment> {
        match &self.origin {
            Origin::Deployment(deployment) => Some(deployment),
            Origin::Standalone => None,
        }
    }

    /// The Update Module of the payload, if the Artifact was read and has one.
    pub fn payload_type(&self) -> Option<&str> {
        self.artifact.as_ref()?.payload_type.as_deref()
    }

    pub(super) fn is_standalone(&self) -> bool {
        self.origin == Origin::Standalone
    }

    /// The Artifact was read and has no payload.
    pub(super) fn is_empty(&self) -> bool {
        self.artifact.as_ref().is_some_and(|artifact| artifact.payload_type.is_none())
    }

    /// Something failed and the device may have changed.
    pub(super) fn fail(&mut self, part: FailedPart) {
        self.health = self.health.worse();
        self.failed_part.get_or_insert(part);
        self.reach(match part {
            FailedPart::Download => Milestone::StreamingFailed,
            FailedPart::Install => Milestone::InstallationFailed,
            FailedPart::Commit => Milestone::CommittingFailed,
            FailedPart::Cleanup => Milestone::CleanupFailed,
        });
    }

    /// Something failed before the device was changed.
    pub(super) fn fail_untouched(&mut self, part: FailedPart) {
        self.health = Health::RolledBack;
        self.failed_part.get_or_insert(part);
        self.reach(Milestone::StreamingFailed);
    }

    /// Notes what the command by hand has come to.
    pub(super) fn reach(&mut self, milestone: Milestone) {
        if !self.milestones.contains(&milestone) {
            self.milestones.push(milestone);
        }
    }
}
