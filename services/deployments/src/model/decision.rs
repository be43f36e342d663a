//! What a device that asks shall do, and why: the one place where that is decided.
//!
//! The poll calls it, and whatever explains or simulates a poll calls it too. It sees the
//! device's request, the device's places in the active deployments and the time, and returns
//! an instruction or refusals, each with its reason; the caller writes down what follows.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rota_types::{ArtifactId, DeploymentId};

use super::{
    artifact::{DEVICE_TYPE, Depends, Provides},
    control_map::ControlMap,
    status::DeviceStatus,
};

/// The key of a device's request that names what is installed.
pub(crate) const ARTIFACT_NAME: &str = "artifact_name";

/// What a device says about itself when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Everything it provides, `device_type` and `artifact_name` included.
    pub(crate) provides: Provides,
    /// Whether it obeys control maps.
    pub(crate) understands_control_maps: bool,
}

/// A device's place in one active deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) deployment: DeploymentId,
    /// Whether devices that have it already shall install it again.
    pub(crate) force_installation: bool,
    /// An active status.
    pub(crate) status: DeviceStatus,
    /// What the device said when it first asked in this attempt.
    pub(crate) request: Option<Provides>,
    /// What may hold the update on the device.
    pub(crate) control_map: Option<ControlMap>,
    pub(crate) offer: Offer,
}

/// What a deployment has for the device.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Offer {
    /// The Artifact that an earlier poll chose; the choice stands.
    Chosen(Fit),
    /// The release's Artifacts: the choice is to be made.
    Release(Vec<Fit>),
}

/// An Artifact as far as the decision looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fit {
    pub(crate) id: ArtifactId,
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) depends: Depends,
    /// Where its bytes lie, for whoever makes the link.
    pub(crate) blob: uuid::Uuid,
}

impl Fit {
    /// The device types it can be installed on.
    pub(crate) fn device_types(&self) -> &[String] {
        self.depends.get(DEVICE_TYPE).map_or(&[], Vec::as_slice)
    }
}

/// What comes of a device's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) answer: Answer,
    /// Deployments that came to an end for the device before the answer was found, oldest
    /// first.
    pub(crate) passed: Vec<Refusal>,
}

/// What the device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To install something.
    Install(Instruction),
    /// Nothing: no deployment is active for it, or none of those has anything for it.
    Nothing,
    /// That it changed its mind in the middle of a deployment.
    Conflict(Refusal),
}

/// Install this Artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) deployment: DeploymentId,
    pub(crate) artifact: Fit,
    pub(crate) because: Choice,
    /// The deployment's, if the device understands it.
    pub(crate) control_map: Option<ControlMap>,
}

/// Why this Artifact and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// An earlier poll of the attempt chose it.
    Kept,
    /// It is the only one that fits.
    OnlyOne,
    /// It is the smallest of this many that fit.
    SmallestOf(usize),
}

/// A deployment that ends for the device without an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) deployment: DeploymentId,
    pub(crate) reason: Reason,
    /// When it was decided.
    pub(crate) at: DateTime<Utc>,
}

/// Why a deployment ends for a device without an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The device has what the deployment would install.
    AlreadyInstalled(ArtifactId),
    /// None of the release's Artifacts fits, each for its own reason.
    NoArtifact(Vec<Mismatch>),
    /// The values of these keys are not those of the question that the attempt began with.
    RequestChanged(BTreeSet<String>),
    /// Its operator may want to hold the update, and the device would not wait.
    CannotBeHeld,
}

impl Reason {
    /// The status that the device's place ends with.
    pub(crate) const fn status(&self) -> DeviceStatus {
        match self {
            Self::AlreadyInstalled(_) => DeviceStatus::AlreadyInstalled,
            Self::NoArtifact(_) => DeviceStatus::NoArtifact,
            Self::RequestChanged(_) | Self::CannotBeHeld => DeviceStatus::Failure,
        }
    }

    /// What the device's place says besides, where its status alone would leave people guessing.
    pub(crate) const fn substate(&self) -> Option<&'static str> {
        match self {
            Self::CannotBeHeld => Some("the device does not understand update control maps"),
            Self::AlreadyInstalled(_) | Self::NoArtifact(_) | Self::RequestChanged(_) => None,
        }
    }
}

/// The first depends key of an Artifact that a device does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) artifact: ArtifactId,
    pub(crate) key: String,
    /// What the device provides under the key, if anything.
    pub(crate) provided: Option<String>,
}

/// Decides what `device` shall do at `now`.
///
/// `candidates` are its places in the active deployments, oldest deployment first. A
/// deployment that has nothing for the device ends for it and the next one is looked at, so
/// that a device is not left waiting for its next poll.
pub(crate) fn decide(device: &Device, candidates: &[Candidate], now: DateTime<Utc>) -> Decision {
    let mut passed = Vec::new();
    for candidate in candidates {
        let refusal = |reason| Refusal { deployment: candidate.deployment, reason, at: now };
        match consider(device, candidate) {
            Ok(instruction) => return Decision { answer: Answer::Install(instruction), passed },
            Err(reason @ Reason::RequestChanged(_)) => {
                return Decision { answer: Answer::Conflict(refusal(reason)), passed };
            }
            Err(reason) => passed.push(refusal(reason)),
        }
    }
    Decision { answer: Answer::Nothing, passed }
}

fn consider(device: &Device, candidate: &Candidate) -> Result<Instruction, Reason> {
    if let Some(request) = &candidate.request {
        let changed = differing_keys(request, &device.provides);
        if !changed.is_empty() {
            return Err(Reason::RequestChanged(changed));
        }
    }
    let (fit, because) = choose(device, &candidate.offer)?;
    let installed = device.provides.get(ARTIFACT_NAME) == Some(&fit.name);
    if installed && candidate.status == DeviceStatus::Pending && !candidate.force_installation {
        return Err(Reason::AlreadyInstalled(fit.id));
    }
    // Before the attempt begins: what a device was told already, it does.
    let may_hold = candidate.control_map.as_ref().is_some_and(ControlMap::may_hold);
    if may_hold && because != Choice::Kept && !device.understands_control_maps {
        return Err(Reason::CannotBeHeld);
    }
    let control_map = candidate.control_map.clone().filter(|_| device.understands_control_maps);
    let (deployment, artifact) = (candidate.deployment, fit.clone());
    Ok(Instruction { deployment, artifact, because, control_map })
}

fn choose<'a>(device: &Device, offer: &'a Offer) -> Result<(&'a Fit, Choice), Reason> {
    let release = match offer {
        Offer::Chosen(fit) => return Ok((fit, Choice::Kept)),
        Offer::Release(release) => release,
    };
    let mut mismatches = Vec::new();
    let mut fitting = Vec::new();
    for fit in release {
        match mismatch(device, fit) {
            Some(found) => mismatches.push(found),
            None => fitting.push(fit),
        }
    }
    let because =
        if fitting.len() == 1 { Choice::OnlyOne } else { Choice::SmallestOf(fitting.len()) };
    // The id makes the choice the same on every replica when sizes are equal.
    let smallest = fitting.into_iter().min_by_key(|fit| (fit.size_bytes, fit.id));
    smallest.map(|fit| (fit, because)).ok_or(Reason::NoArtifact(mismatches))
}

/// What keeps the Artifact from the device; `None` when it fits. An Artifact that names no
/// device type fits none.
fn mismatch(device: &Device, fit: &Fit) -> Option<Mismatch> {
    let unmet = |key: &str| Mismatch {
        artifact: fit.id,
        key: key.to_owned(),
        provided: device.provides.get(key).cloned(),
    };
    if !fit.depends.contains_key(DEVICE_TYPE) {
        return Some(unmet(DEVICE_TYPE));
    }
    fit.depends
        .iter()
        .find(|(key, accepted)| {
            device.provides.get(*key).is_none_or(|provided| !accepted.contains(provided))
        })
        .map(|(key, _)| unmet(key))
}

fn differing_keys(before: &Provides, now: &Provides) -> BTreeSet<String> {
    before
        .keys()
        .chain(now.keys())
        .filter(|key| before.get(*key) != now.get(*key))
        .cloned()
        .collect()
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
