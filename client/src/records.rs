//! What the device knows about itself and must not forget: the installed software and the update
//! that is under way.

use std::collections::BTreeMap;

use rota_artifact::ProvidesGlob;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    control::Controls,
    machine::{ArtifactInfo, DeploymentId, Health, Origin, SoftwareChange, Stage, Update},
    owed::OwedReports,
};

/// Marks the name of software of which nobody can say in what state it is.
pub const INCONSISTENT_SUFFIX: &str = "_INCONSISTENT";

/// The name of the installed software while no Artifact has given it one.
pub const UNKNOWN_ARTIFACT: &str = "unknown";

const ARTIFACT_NAME: &str = "artifact_name";
const ARTIFACT_GROUP: &str = "artifact_group";

/// The whole content of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// `None` until the first start has named it.
    #[serde(default)]
    pub software: Option<Software>,
    #[serde(default, deserialize_with = "known_update")]
    pub update: Option<Update>,
    /// How the update before ended.
    #[serde(default)]
    pub last_update: Option<LastUpdate>,
    /// What the server has not heard of updates that are over.
    #[serde(default, skip_serializing_if = "OwedReports::is_empty")]
    pub owed: OwedReports,
    /// What may hold updates.
    #[serde(
        default,
        skip_serializing_if = "Controls::is_empty",
        deserialize_with = "Controls::deserialize_or_forget"
    )]
    pub controls: Controls,
    /// How the store of Mender's client looked when it was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<String>,
}

impl Records {
    /// The installed software; `unknown` as long as it has no name.
    pub fn software(&self) -> Software {
        self.software.clone().unwrap_or_default()
    }

    /// These are the last records but one, and what was done after the last ones is not known.
    ///
    /// An update that seems to wait for its installation, or to be downloading, may have begun to
    /// install, and one that seems to wait for its commit, to commit: neither may simply run again.
    /// Every other stage leads to the same or a safer way on than the one that followed it.
    pub(crate) fn forget_last_step(&mut self) {
        let Some(update) = &mut self.update else { return };
        update.stage = match update.stage {
            Stage::UpdateStore | Stage::BeforeInstall | Stage::PauseInstall => Stage::Unknown,
            Stage::BeforeCommit | Stage::PauseCommit => Stage::UpdateCommit,
            stage => stage,
        };
    }
}

/// A newer client may have written what this one does not understand, and then been rolled back
/// with the system that it was part of: that an update is under way must not be lost with it.
fn known_update<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Update>, D::Error> {
    let Some(value) = Option::<serde_json::Value>::deserialize(deserializer)? else {
        return Ok(None);
    };
    Update::deserialize(&value).map(Some).or_else(|error| {
        let part = |name| value.get(name).unwrap_or(&serde_json::Value::Null);
        let origin = Origin::deserialize(part("origin")).map_err(|_| D::Error::custom(error))?;
        let artifact = ArtifactInfo::deserialize(part("artifact")).ok();
        Ok(Some(Update::not_understood(origin, artifact)))
    })
}

/// What is remembered of an update that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUpdate {
    /// `None` for an update by hand.
    pub deployment_id: Option<DeploymentId>,
    /// `None` if the Artifact could not even be read.
    pub artifact_name: Option<String>,
    pub health: Health,
}

impl From<&Update> for LastUpdate {
    fn from(update: &Update) -> Self {
        Self {
            deployment_id: update.deployment().map(|deployment| deployment.id.clone()),
            artifact_name: update.artifact.as_ref().map(|artifact| artifact.name.clone()),
            health: update.health,
        }
    }
}

/// The installed software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Software {
    pub artifact_name: String,
    #[serde(default)]
    pub artifact_group: Option<String>,
    /// Everything else that installed Artifacts have stated.
    #[serde(default)]
    pub provides: BTreeMap<String, String>,
}

impl Default for Software {
    fn default() -> Self {
        Self {
            artifact_name: UNKNOWN_ARTIFACT.to_owned(),
            artifact_group: None,
            provides: BTreeMap::new(),
        }
    }
}

impl Software {
    /// Name, group and provides in one map, as servers and depends see them.
    pub fn all_provides(&self) -> BTreeMap<String, String> {
        let mut all = self.provides.clone();
        all.insert(ARTIFACT_NAME.to_owned(), self.artifact_name.clone());
        if let Some(group) = &self.artifact_group {
            all.insert(ARTIFACT_GROUP.to_owned(), group.clone());
        }
        all
    }

    /// Takes over what an Artifact says about itself.
    pub fn change(&mut self, artifact: &ArtifactInfo, change: SoftwareChange) {
        self.artifact_name = match change {
            SoftwareChange::Updated => artifact.name.clone(),
            SoftwareChange::UpdatedInconsistent | SoftwareChange::NameInconsistent => {
                format!("{}{INCONSISTENT_SUFFIX}", artifact.name)
            }
        };
        if change != SoftwareChange::NameInconsistent {
            self.clear_provides(artifact.clears_provides.as_deref());
            self.provides.extend(artifact.provides.clone());
        }
        if let Some(group) = artifact.group.as_ref().filter(|group| !group.is_empty()) {
            self.artifact_group = Some(group.clone());
        }
    }

    /// An Artifact that names no patterns is from before there were any, and clears everything but
    /// the group.
    fn clear_provides(&mut self, patterns: Option<&[String]>) {
        let Some(patterns) = patterns else {
            self.provides.clear();
            return;
        };
        // A pattern that cannot be read matches nothing.
        let globs: Vec<_> = patterns.iter().flat_map(|p| ProvidesGlob::new(p)).collect();
        let cleared = |key: &str| globs.iter().any(|glob| glob.matches(key));
        self.provides.retain(|key, _| !cleared(key));
        if cleared(ARTIFACT_GROUP) {
            self.artifact_group = None;
        }
    }
}

/// An Artifact wants something that this device does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    #[error("the Artifact needs {key} to be one of {wanted:?}, but this device has {found:?}")]
    Differs { key: String, wanted: Vec<String>, found: String },
    #[error("the Artifact needs {key} to be one of {wanted:?}, but this device has none")]
    Missing { key: String, wanted: Vec<String> },
}

/// Checks an Artifact's depends (all of them, `device_type` included) against the device.
pub fn check_depends(
    depends: &BTreeMap<String, Vec<String>>,
    device_type: &str,
    software: &Software,
) -> Result<(), Unmet> {
    let mut provides = software.all_provides();
    provides.insert("device_type".to_owned(), device_type.to_owned());
    for (key, wanted) in depends {
        match provides.get(key) {
            Some(found) if wanted.contains(found) => {}
            Some(found) => {
                return Err(Unmet::Differs {
                    key: key.clone(),
                    wanted: wanted.clone(),
                    found: found.clone(),
                });
            }
            None => return Err(Unmet::Missing { key: key.clone(), wanted: wanted.clone() }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn installed() -> Software {
        Software {
            artifact_name: "old".into(),
            artifact_group: Some("group".into()),
            provides: map(&[("rootfs-image.version", "1"), ("app.version", "1")]),
        }
    }

    #[test]
    fn the_four_ways_of_changing_provides() {
        let new = map(&[("app.version", "2")]);
        let clears = vec!["app.*".to_owned(), "artifact_group".to_owned()];
        for (provides, clears, expected, group) in [
            (map(&[]), None, map(&[]), Some("group")),
            (map(&[]), Some(clears.clone()), map(&[("rootfs-image.version", "1")]), None),
            (new.clone(), None, new.clone(), Some("group")),
            (
                new.clone(),
                Some(clears),
                map(&[("rootfs-image.version", "1"), ("app.version", "2")]),
                None,
            ),
        ] {
            let artifact = ArtifactInfo {
                name: "new".into(),
                provides,
                clears_provides: clears,
                ..ArtifactInfo::default()
            };
            let mut software = installed();
            software.change(&artifact, SoftwareChange::Updated);
            assert_eq!(software.artifact_name, "new");
            assert_eq!(software.provides, expected);
            assert_eq!(software.artifact_group.as_deref(), group);
        }
    }

    #[test]
    fn a_failed_update_changes_the_name_alone() {
        let artifact = ArtifactInfo {
            name: "new".into(),
            provides: map(&[("app.version", "2")]),
            ..ArtifactInfo::default()
        };
        let mut software = installed();
        software.change(&artifact, SoftwareChange::NameInconsistent);
        assert_eq!(software.artifact_name, "new_INCONSISTENT");
        assert_eq!(software.provides, installed().provides);
    }

    #[test]
    fn recording_twice_is_recording_once() {
        let artifact = ArtifactInfo {
            name: "new".into(),
            provides: map(&[("app.version", "2")]),
            clears_provides: Some(vec!["app.*".into()]),
            ..ArtifactInfo::default()
        };
        let mut once = installed();
        once.change(&artifact, SoftwareChange::UpdatedInconsistent);
        let mut twice = once.clone();
        twice.change(&artifact, SoftwareChange::UpdatedInconsistent);
        assert_eq!(once, twice);
    }

    #[test]
    fn depends_are_matched_by_value_in_list() {
        let depends = |key: &str, values: &[&str]| {
            BTreeMap::from([(key.to_owned(), values.iter().map(|v| (*v).to_owned()).collect())])
        };
        let check = |key, values: &[&str]| {
            check_depends(&depends(key, values), "board", &installed()).is_ok()
        };
        assert!(check("device_type", &["other", "board"]));
        assert!(!check("device_type", &["other"]));
        assert!(check("artifact_name", &["old"]));
        assert!(check("artifact_group", &["group"]));
        assert!(check("app.version", &["1"]));
        assert!(!check("app.version", &["2"]));
        assert!(!check("missing", &["1"]));
    }

    #[test]
    fn an_update_that_a_newer_client_wrote_down_is_still_taken_back() {
        let read = |update: &str| {
            let records = format!(r#"{{"software":null,"update":{update}}}"#);
            serde_json::from_str::<Records>(&records).ok()?.update
        };
        let newer = r#"{"origin":"standalone","stage":"cleanup","health":"splendid",
            "artifact":{"name":"new","payload_type":"test"}}"#;
        let update = read(newer).unwrap();
        assert_eq!((update.stage, update.payload_type()), (Stage::Unknown, Some("test")));
        let newer = r#"{"origin":"standalone","stage":"levitating","more":1}"#;
        assert_eq!(read(newer).unwrap().stage, Stage::Unknown);
        assert_eq!(read("null"), None);
        assert_eq!(read(r#"{"stage":"cleanup"}"#), None, "nobody knows whose it is");
    }
}
