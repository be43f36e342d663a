//! The first start on a device that ran Mender's client, Go (to 3.x) or C++ (4 and 5): what that
//! client knew is put into the journal, once, and what it had begun is finished.
//!
//! Configuration, device key, device type, state scripts and deployment logs need nothing: they lie
//! where Mender's client has them, and are read as it reads them. What is taken over is the content
//! of its store, `mender-store`: the installed software, and a deployment or an update by hand that
//! was under way. The store itself is never changed, so that the old client finds everything as it
//! left it should the device go back to it.
//!
//! The journal notes how the store looked. As long as it looks the same, it is not read again. If
//! it changed, the old client has run since, as it does when an update to this client was rolled
//! back; what it knows now is newer, and is taken over anew. Only an update that this client began
//! by itself is never given up for that.
//!
//! All of it is one entry of the journal. A cut before it is written repeats it.

mod blob;
mod deployment;
mod lmdb;
mod standalone;
mod store;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;

use crate::{
    config::{Paths, Settings, read_device_type},
    control::Controls,
    journal::{JournalError, Store},
    log::{Log, chain},
    machine::{ControlMap, Stage, Update},
    modules::lay_out_missing_tree,
    records::{Records, Software},
};
use store::{OldStore, StoreError};

/// The payload type that the Go client installed by itself, without a work tree.
const BUILT_IN: &str = "rootfs-image";

/// Where Mender's client left what is taken over.
#[derive(Debug)]
pub struct OldClient {
    store: PathBuf,
    work_tree: PathBuf,
    device_type: PathBuf,
}

impl OldClient {
    pub fn new(paths: &Paths, settings: &Settings) -> Self {
        Self {
            store: paths.old_store(),
            work_tree: paths.work_tree(),
            device_type: paths.device_type(settings),
        }
    }
}

/// Puts into the journal what Mender's client knew, if there is something that the journal does not
/// know yet. A store that cannot be read is a warning: it will not be readable later either, and a
/// device must not stop updating for it.
pub fn take_over(journal: &mut dyn Store, old: &OldClient, log: &Log) -> Result<(), JournalError> {
    let unusable = |error: StoreError| {
        log.warning(format_args!(
            "nothing is taken over from Mender's {}: {}",
            old.store.display(),
            chain(&error)
        ));
    };
    let Ok(Some(content)) = store::read(&old.store).map_err(unusable) else { return Ok(()) };
    let looks = store::fingerprint(&content);
    if !is_news(&journal.read()?, &looks) {
        return Ok(());
    }
    let Ok(store) = OldStore::parse(&content).map_err(unusable) else { return Ok(()) };
    let found = Found::read(&store, looks, log);
    found.announce(log);
    found.complete_tree(old, log);
    journal.change(&mut |records| {
        // Another process may have been faster.
        if is_news(records, &found.looks) {
            found.record(records);
        }
    })
}

/// Whether the store holds what the journal does not know.
fn is_news(records: &Records, looks: &str) -> bool {
    match (&records.taken_over, &records.update) {
        (None, update) => records.software.is_none() && update.is_none(),
        (Some(known), Some(update)) => known != looks && update.taken_over,
        (Some(known), None) => known != looks,
    }
}

/// What the old client knew.
struct Found {
    software: Option<Software>,
    update: Option<Update>,
    maps: Vec<ControlMap>,
    looks: String,
}

impl Found {
    fn read(store: &OldStore, looks: String, log: &Log) -> Self {
        let software = store.text("artifact-name").map(|artifact_name| Software {
            artifact_name,
            artifact_group: store.text("artifact-group"),
            provides: provides(store, log),
        });
        let maps = control_maps(store);
        let is_controlled = maps.as_ref().is_some_and(|maps| !maps.is_empty());
        let update = match deployment::interrupted(store, is_controlled) {
            Ok(update) => update,
            Err(error) => {
                log.warning(format_args!(
                    "the deployment that Mender's client was at is given up: {}",
                    chain(&error)
                ));
                None
            }
        };
        let update = update.or_else(|| {
            standalone::interrupted(store).unwrap_or_else(|error| {
                log.warning(format_args!(
                    "the update by hand that Mender's client was at is given up: {error}"
                ));
                None
            })
        });
        let update = if maps.is_none() { update.map(refuse_reboot) } else { update };
        Self { software, update, maps: maps.unwrap_or_default(), looks }
    }

    fn announce(&self, log: &Log) {
        let name = self.software.as_ref().map_or("no name", |software| &software.artifact_name);
        log.info(format_args!("taking over from Mender's client: software {name:?}"));
        if let Some(update) = &self.update {
            let what = update.deployment().map_or_else(
                || "an update by hand".to_owned(),
                |deployment| format!("deployment {}", deployment.id),
            );
            log.info(format_args!("taking over {what} in stage {:?}", update.stage));
        }
    }

    /// The Go client installed system images without a work tree; whoever finishes such an update
    /// needs one to run in. Without it, the update fails in its own way.
    fn complete_tree(&self, old: &OldClient, log: &Log) {
        let Some(update) = &self.update else { return };
        let Some(artifact) = &update.artifact else { return };
        if artifact.payload_type.as_deref() != Some(BUILT_IN) || update.stage == Stage::UpdateStore
        {
            return;
        }
        let software = self.software.clone().unwrap_or_default();
        let device_type = read_device_type(&old.device_type).unwrap_or_else(|error| {
            log.warning(chain(&error));
            String::new()
        });
        if let Err(error) = lay_out_missing_tree(&old.work_tree, artifact, &device_type, &software)
        {
            log.warning(format_args!("cannot make {}: {error}", old.work_tree.display()));
        }
    }

    fn record(&self, records: &mut Records) {
        if self.software.is_some() {
            records.software.clone_from(&self.software);
        }
        records.update.clone_from(&self.update);
        let id = self.update.as_ref().and_then(Update::deployment).map(|it| it.id.as_str());
        records.controls = Controls::taken_over(self.maps.clone(), id);
        records.taken_over = Some(self.looks.clone());
    }
}

fn provides(store: &OldStore, log: &Log) -> BTreeMap<String, String> {
    let Some(json) = store.get("artifact-provides").filter(|json| !json.is_empty()) else {
        return BTreeMap::new();
    };
    serde_json::from_slice(json).unwrap_or_else(|error| {
        log.warning(format_args!("the provides that Mender's client kept are given up: {error}"));
        BTreeMap::new()
    })
}

/// The maps that controlled the Go client's deployments. `None` if they are not understood.
fn control_maps(store: &OldStore) -> Option<Vec<ControlMap>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Lists {
        active: Option<Vec<ControlMap>>,
        expired: Option<Vec<ControlMap>>,
    }
    let json = store.get("update-control-maps").unwrap_or_default();
    if json.is_empty() {
        return Some(Vec::new());
    }
    let Lists { active, expired } = serde_json::from_slice(json).ok()?;
    Some([active, expired].into_iter().flatten().flatten().collect())
}

/// What maps that are not understood would have said after the reboot is taken to be no, as Mender's
/// own later clients do, which have no maps.
fn refuse_reboot(update: Update) -> Update {
    if update.stage == Stage::Reboot {
        Update { stage: Stage::RebootRefused, ..update }
    } else {
        update
    }
}
