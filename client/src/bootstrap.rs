//! The first start: the installed software gets its name.

use std::{fs::File, io, path::Path};

use rota_artifact::{Limits, PayloadType, Reader};

use crate::{
    journal::{JournalError, Store},
    log::{Log, chain},
    machine::{ArtifactInfo, SoftwareChange},
    records::Software,
};

/// The bootstrap Artifact cannot be used.
#[derive(Debug, thiserror::Error)]
enum BootstrapError {
    #[error("cannot open it")]
    Open(#[source] io::Error),
    #[error(transparent)]
    Artifact(#[from] rota_artifact::Error),
    #[error("it has a payload; a bootstrap Artifact only names the software")]
    HasPayload,
}

/// Names the software if it has no name yet: after the bootstrap Artifact that lies at `path`, or
/// else after the file `artifact_info`, or else `unknown`. The Artifact came with the image, so its
/// signature is not checked; it is removed in any case.
pub fn name_software(
    store: &mut dyn Store,
    path: &Path,
    artifact_info: &Path,
    log: &Log,
) -> Result<Software, JournalError> {
    let named = store.read()?.software;
    let software = if let Some(software) = named {
        software
    } else {
        let software = first_software(path, artifact_info, log);
        store.change(&mut |records| records.software = Some(software.clone()))?;
        software
    };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log.warning(format_args!("cannot remove {}: {error}", path.display()));
        }
        _ => {}
    }
    Ok(software)
}

fn first_software(path: &Path, artifact_info: &Path, log: &Log) -> Software {
    if path.exists() {
        match read(path) {
            Ok(artifact) => {
                let mut software = Software::default();
                software.change(&artifact, SoftwareChange::Updated);
                return software;
            }
            Err(error) => {
                let path = path.display();
                log.error(format_args!(
                    "the bootstrap Artifact {path} is left out: {}",
                    chain(&error)
                ));
            }
        }
    }
    delivered_software(artifact_info).unwrap_or_default()
}

/// What clients before 4.0 called software that came with the image: lines of `key=value`.
fn delivered_software(artifact_info: &Path) -> Option<Software> {
    let text = std::fs::read_to_string(artifact_info).ok()?;
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.trim().split_once('='));
        let found = pairs.find(|(name, _)| name.trim() == key)?.1.trim();
        (!found.is_empty()).then(|| found.to_owned())
    };
    Some(Software {
        artifact_name: value("artifact_name")?,
        artifact_group: value("artifact_group"),
        ..Software::default()
    })
}

fn read(path: &Path) -> Result<ArtifactInfo, BootstrapError> {
    let reader = Reader::open(File::open(path).map_err(BootstrapError::Open)?, &Limits::default())?;
    let header = reader.header();
    if header.payload.payload_type != PayloadType::Empty {
        return Err(BootstrapError::HasPayload);
    }
    let artifact = ArtifactInfo::from(header);
    reader.finish()?;
    Ok(artifact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{journal::FileStore, log::Level};

    #[test]
    fn without_a_bootstrap_artifact_the_software_is_unknown_once_and_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap.mender");
        let artifact_info = folder.path().join("artifact_info");
        let mut store = FileStore::new(folder.path());
        let log = Log::new(Level::Error, Box::new(io::sink()));
        std::fs::write(&path, "junk").unwrap();
        let software = name_software(&mut store, &path, &artifact_info, &log).unwrap();
        assert_eq!(software.artifact_name, "unknown");
        assert!(!path.exists());

        store
            .change(&mut |records| {
                records.software.get_or_insert_default().artifact_name = "real".into();
            })
            .unwrap();
        assert_eq!(
            name_software(&mut store, &path, &artifact_info, &log).unwrap().artifact_name,
            "real"
        );
    }

    #[test]
    fn software_that_came_with_the_image_is_called_what_older_clients_called_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bootstrap.mender");
        let artifact_info = folder.path().join("artifact_info");
        let mut store = FileStore::new(folder.path());
        let log = Log::new(Level::Error, Box::new(io::sink()));
        std::fs::write(&artifact_info, "artifact_group=blue\nartifact_name=image-7\n").unwrap();
        let software = name_software(&mut store, &path, &artifact_info, &log).unwrap();
        assert_eq!(software.artifact_name, "image-7");
        assert_eq!(software.artifact_group.as_deref(), Some("blue"));
        std::fs::write(&artifact_info, "artifact_name=other\n").unwrap();
        let software = name_software(&mut store, &path, &artifact_info, &log).unwrap();
        assert_eq!(software.artifact_name, "image-7");
    }
}
