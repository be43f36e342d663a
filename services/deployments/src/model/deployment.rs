//! A deployment: which release goes to which devices, and how far it is.

use std::{collections::BTreeSet, fmt};

use chrono::{DateTime, Utc};
use ring::digest;
use rota_types::{ArtifactId, DeploymentId, DeviceId};

use super::{
    artifact::Direction,
    control_map::{ControlAction, ControlMap},
    status::{DeviceStatus, StatusFilter},
};

/// The longest deployment name (server API, names), in characters.
pub(crate) const MAX_NAME: usize = 256;

/// The longest Artifact name (server API, names), in characters.
pub(crate) const MAX_ARTIFACT_NAME: usize = 4096;

/// The longest group name (server API, names), in characters.
const MAX_GROUP_NAME: usize = 256;

/// How often a failed device may be asked to try again; more is taken for a mistake.
const MAX_RETRIES: u32 = 100;

/// What a deployment is asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewDeployment {
    pub(crate) name: String,
    pub(crate) artifact_name: String,
    pub(crate) target: Target,
    pub(crate) force_installation: bool,
    /// Attempts after the first.
    pub(crate) retries: u32,
    pub(crate) control_map: Option<ControlMap>,
}

/// Which devices a deployment is for. The list is fixed when it is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Devices(BTreeSet<DeviceId>),
    Group(String),
    All,
}

/// Why a deployment cannot be what it is asked to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDeployment {
    #[error("name: must be 1 to {MAX_NAME} characters long")]
    Name,
    #[error("artifact_name: must be 1 to {MAX_ARTIFACT_NAME} characters long")]
    ArtifactName,
    #[error("group: must be 1 to {MAX_GROUP_NAME} characters out of A-Z, a-z, 0-9, _ and -")]
    Group,
    #[error("provide a list of devices or set all_devices")]
    NoTarget,
    #[error("retries: must be at most {MAX_RETRIES}")]
    Retries,
}

impl NewDeployment {
    /// Checks what can be checked without asking anybody.
    pub(crate) fn validate(&self) -> Result<(), InvalidDeployment> {
        let length = |text: &str, max| (1..=max).contains(&text.chars().count());
        if !length(&self.name, MAX_NAME) {
            return Err(InvalidDeployment::Name);
        }
        if !length(&self.artifact_name, MAX_ARTIFACT_NAME) {
            return Err(InvalidDeployment::ArtifactName);
        }
        if self.retries > MAX_RETRIES {
            return Err(InvalidDeployment::Retries);
        }
        match &self.target {
            Target::Devices(devices) if devices.is_empty() => Err(InvalidDeployment::NoTarget),
            Target::Group(group) if !is_group_name(group) => Err(InvalidDeployment::Group),
            _ => Ok(()),
        }
    }

    /// The same for two requests exactly when they ask for the same: SHA-256 over every field,
    /// each with its length.
    pub(crate) fn checksum(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut field = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        field(self.name.as_bytes());
        field(self.artifact_name.as_bytes());
        field(&[u8::from(self.force_installation)]);
        field(&self.retries.to_be_bytes());
        match &self.target {
            Target::All => field(b"all"),
            Target::Group(group) => {
                field(b"group");
                field(group.as_bytes());
            }
            Target::Devices(devices) => {
                field(b"devices");
                for device in devices {
                    field(device.uuid().as_bytes());
                }
            }
        }
        if let Some(map) = &self.control_map {
            field(b"control_map");
            field(&map.priority().to_be_bytes());
            for (point, rule) in map.rules() {
                field(point.word().as_bytes());
                for action in rule.actions() {
                    field(action.map_or("", ControlAction::word).as_bytes());
                }
            }
        }
        context.finish().as_ref().to_vec()
    }
}

fn is_group_name(name: &str) -> bool {
    (1..=MAX_GROUP_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// A deployment, with what its devices made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) id: DeploymentId,
    pub(crate) name: String,
    pub(crate) artifact_name: String,
    pub(crate) created: DateTime<Utc>,
    /// When its last device came to an end, or it was aborted.
    pub(crate) finished: Option<DateTime<Utc>>,
    /// The groups it was created for.
    pub(crate) groups: Vec<String>,
    pub(crate) force_installation: bool,
    pub(crate) retries: u32,
    pub(crate) control_map: Option<ControlMap>,
    /// Devices it is for, as far as the list has been written.
    pub(crate) device_count: u64,
    /// The release's Artifacts; once it is finished, those of then.
    pub(crate) artifacts: Vec<ArtifactId>,
    pub(crate) statistics: Statistics,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeploymentStatus {
    /// No device has reported yet.
    Pending,
    InProgress,
    /// Every device came to an end, or it was aborted.
    Finished,
}

impl Deployment {
    /// How far it is, by what its devices reported.
    pub(crate) fn status(&self) -> DeploymentStatus {
        if self.finished.is_some() {
            DeploymentStatus::Finished
        } else if self.statistics.devices() == self.statistics.of(DeviceStatus::Pending) {
            DeploymentStatus::Pending
        } else {
            DeploymentStatus::InProgress
        }
    }
}

/// How many devices of a deployment are where.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    counts: [u64; DeviceStatus::ALL.len()],
    /// The sizes of the Artifacts handed out, summed up over devices and attempts, in bytes.
    pub(crate) handed_out_bytes: u64,
}

impl Statistics {
    /// Adds `devices` at `status`.
    pub(crate) fn add(&mut self, status: DeviceStatus, devices: u64) {
        self.counts[status as usize] += devices;
    }

    /// How many devices are at `status`.
    pub(crate) fn of(&self, status: DeviceStatus) -> u64 {
        self.counts[status as usize]
    }

    /// How many devices there are in all.
    pub(crate) fn devices(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many devices a filter lets pass.
    pub(crate) fn passing(&self, filter: StatusFilter) -> u64 {
        let passing = self.iter().filter(|(status, _)| filter.passes(*status));
        passing.map(|(_, devices)| devices).sum()
    }

    /// Every status, also those without a device.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DeviceStatus, u64)> + '_ {
        DeviceStatus::ALL.into_iter().map(|status| (status, self.of(status)))
    }
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().filter(|(_, devices)| *devices > 0))
            .entry(&"handed_out_bytes", &self.handed_out_bytes)
            .finish()
    }
}

/// One device's record in a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceDeployment {
    /// The record's own id.
    pub(crate) id: uuid::Uuid,
    pub(crate) device: DeviceId,
    pub(crate) deployment: DeploymentId,
    pub(crate) status: DeviceStatus,
    /// The device's own words about what it does, or why it was told nothing.
    pub(crate) substate: String,
    pub(crate) created: DateTime<Utc>,
    /// When it first reported.
    pub(crate) started: Option<DateTime<Utc>>,
    /// When it came to an end.
    pub(crate) finished: Option<DateTime<Utc>>,
    /// As the device named it when it asked; empty before.
    pub(crate) device_type: String,
    /// Whether the device sent a log.
    pub(crate) log: bool,
    /// How often the deployment was handed out to it.
    pub(crate) attempts: u32,
    /// The Artifact that was chosen for it.
    pub(crate) artifact: Option<ArtifactId>,
}

/// A filter on deployments by how far they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeploymentStatusFilter {
    Any,
    /// Not begun because its time has not come: none, as every deployment begins at once.
    Scheduled,
    Is(DeploymentStatus),
}

/// A word that names no status of deployments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown deployment status {0:?}")]
pub(crate) struct UnknownDeploymentStatus(String);

impl DeploymentStatusFilter {
    /// Reads the query's word; an empty one asks for all, and an aborted deployment counts as
    /// finished.
    pub(crate) fn parse(word: &str) -> Result<Self, UnknownDeploymentStatus> {
        match word {
            "" => Ok(Self::Any),
            "scheduled" => Ok(Self::Scheduled),
            "pending" => Ok(Self::Is(DeploymentStatus::Pending)),
            "inprogress" => Ok(Self::Is(DeploymentStatus::InProgress)),
            "finished" | "aborted" => Ok(Self::Is(DeploymentStatus::Finished)),
            word => Err(UnknownDeploymentStatus(word.to_owned())),
        }
    }
}

/// Which deployments a list shows.
#[derive(Debug, Clone)]
pub(crate) struct DeploymentFilter {
    pub(crate) status: DeploymentStatusFilter,
    /// Part of the name or of the Artifact name, whatever the case; empty: any.
    pub(crate) search: String,
    /// These ids only, when not empty.
    pub(crate) ids: Vec<DeploymentId>,
    /// These names only, when not empty.
    pub(crate) names: Vec<String>,
    /// Deployments that hold one of these devices, when not empty.
    pub(crate) devices: Vec<DeviceId>,
    pub(crate) created_before: Option<DateTime<Utc>>,
    pub(crate) created_after: Option<DateTime<Utc>>,
    /// By creation.
    pub(crate) direction: Direction,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::control_map::{ControlPoint, Rule};

    fn new(target: Target) -> NewDeployment {
        NewDeployment {
            name: "n".to_owned(),
            artifact_name: "a".to_owned(),
            target,
            force_installation: false,
            retries: 0,
            control_map: None,
        }
    }

    #[test]
    fn limits_are_told_apart() {
        assert_eq!(new(Target::All).validate(), Ok(()));
        let cases = [
            (NewDeployment { name: String::new(), ..new(Target::All) }, InvalidDeployment::Name),
            (NewDeployment { name: "ü".repeat(257), ..new(Target::All) }, InvalidDeployment::Name),
            (
                NewDeployment { artifact_name: String::new(), ..new(Target::All) },
                InvalidDeployment::ArtifactName,
            ),
            (new(Target::Group("a b".to_owned())), InvalidDeployment::Group),
            (new(Target::Devices(BTreeSet::new())), InvalidDeployment::NoTarget),
            (NewDeployment { retries: 101, ..new(Target::All) }, InvalidDeployment::Retries),
        ];
        for (wrong, expected) in cases {
            assert_eq!(wrong.validate(), Err(expected));
        }
        assert_eq!(NewDeployment { name: "ü".repeat(256), ..new(Target::All) }.validate(), Ok(()));
    }

    #[test]
    fn only_the_same_request_has_the_same_checksum() {
        let device = DeviceId::mint();
        let held = |priority, action: Option<ControlAction>, executed| {
            let rule = Rule::new(action, None, executed).unwrap();
            let map = ControlMap::new(priority, [(ControlPoint::Commit, rule)].into()).unwrap();
            NewDeployment { control_map: Some(map), ..new(Target::All) }
        };
        let pause = Some(ControlAction::Pause);
        let different = [
            held(0, None, None),
            held(0, pause, None),
            held(0, None, pause),
            held(1, pause, None),
            new(Target::All),
            new(Target::Group("all".to_owned())),
            new(Target::Devices([device].into())),
            new(Target::Devices([device, DeviceId::mint()].into())),
            NewDeployment { force_installation: true, ..new(Target::All) },
            NewDeployment { retries: 1, ..new(Target::All) },
            NewDeployment {
                name: "na".to_owned(),
                artifact_name: String::new(),
                ..new(Target::All)
            },
        ];
        let checksums: BTreeSet<_> = different.iter().map(NewDeployment::checksum).collect();
        assert_eq!(checksums.len(), different.len());
        assert_eq!(new(Target::All).checksum(), new(Target::All).checksum());
    }

    #[test]
    fn the_status_follows_from_the_devices() {
        let mut deployment = Deployment {
            id: DeploymentId::mint(),
            name: String::new(),
            artifact_name: String::new(),
            created: DateTime::UNIX_EPOCH,
            finished: None,
            groups: vec![],
            force_installation: false,
            retries: 0,
            control_map: None,
            device_count: 2,
            artifacts: vec![],
            statistics: Statistics::default(),
        };
        assert_eq!(deployment.status(), DeploymentStatus::Pending);
        deployment.statistics.add(DeviceStatus::Pending, 1);
        assert_eq!(deployment.status(), DeploymentStatus::Pending);
        deployment.statistics.add(DeviceStatus::Success, 1);
        assert_eq!(deployment.status(), DeploymentStatus::InProgress);
        deployment.finished = Some(DateTime::UNIX_EPOCH);
        assert_eq!(deployment.status(), DeploymentStatus::Finished);
    }
}
