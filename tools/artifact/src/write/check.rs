//! What a builder refuses to write, because some reader would refuse to read it.

use std::collections::BTreeSet;

use crate::{
    Error, PayloadType, ProvidesGlob,
    header::key::{ARTIFACT_GROUP, ARTIFACT_NAME, DEVICE_TYPE},
    name,
};

use super::{Builder, WriteError};

impl Builder {
    pub(super) fn check(&self) -> Result<(), WriteError> {
        self.check_labels()?;
        self.check_keys()?;
        self.check_files()?;
        self.check_scripts()?;
        self.clears_provides.iter().try_for_each(|pattern| {
            ProvidesGlob::new(pattern)?;
            Ok(())
        })
    }

    fn check_labels(&self) -> Result<(), WriteError> {
        if self.depends.device_types.is_empty() {
            return Err(WriteError::NoDeviceType);
        }
        if let PayloadType::Module(name) = &self.payload_type {
            name::check_payload_type(name).map_err(|reason| WriteError::Label {
                what: "payload type",
                value: name.clone(),
                reason,
            })?;
        }
        check_labels("artifact name", [&self.name])?;
        check_labels("group", &self.group)?;
        check_labels("device type", &self.depends.device_types)?;
        check_labels("artifact name to depend on", &self.depends.artifact_names)?;
        check_labels("group to depend on", &self.depends.artifact_groups)
    }

    /// Servers merge the payload's maps with the header's; a key in both would be refused there.
    fn check_keys(&self) -> Result<(), WriteError> {
        let reserved = |what, key: &&str, found: bool| {
            if found {
                Err(WriteError::ReservedKey { key: (*key).to_owned(), what })
            } else {
                Ok(())
            }
        };
        [ARTIFACT_NAME, ARTIFACT_GROUP].iter().try_for_each(|key| {
            reserved("provides", key, self.payload_provides.contains_key(*key))
        })?;
        [ARTIFACT_NAME, ARTIFACT_GROUP, DEVICE_TYPE]
            .iter()
            .try_for_each(|key| reserved("depends", key, self.payload_depends.contains_key(*key)))
    }

    fn check_files(&self) -> Result<(), WriteError> {
        let found = self.files.len();
        if self.payload_type.is_rootfs_image() && found != 1 {
            let (payload, expected) = ("a rootfs-image", "exactly one file");
            return Err(WriteError::FileCount { payload, expected, found });
        }
        if self.payload_type == PayloadType::Empty {
            if found > 0 {
                let (payload, expected) = ("an empty payload", "no files");
                return Err(WriteError::FileCount { payload, expected, found });
            }
            if !self.meta_data.is_empty() {
                return Err(WriteError::EmptyPayload { what: "meta-data" });
            }
            if !self.scripts.is_empty() {
                return Err(WriteError::EmptyPayload { what: "state scripts" });
            }
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            let name = file.name()?;
            check_file_name(&name)?;
            if let Some(name) = names.replace(name) {
                return Err(WriteError::Duplicate { name });
            }
        }
        Ok(())
    }

    fn check_scripts(&self) -> Result<(), WriteError> {
        let mut names = BTreeSet::new();
        for script in &self.scripts {
            let name = script.name.clone();
            name::check_script(&name).map_err(|_| WriteError::ScriptName { name: name.clone() })?;
            if let Some(name) = names.replace(name) {
                return Err(WriteError::Duplicate { name });
            }
        }
        Ok(())
    }
}

fn check_file_name(name: &str) -> Result<(), WriteError> {
    let refuse = |reason: String| WriteError::FileName { name: name.to_owned(), reason };
    match name::check_file(name) {
        Err(Error::ForbiddenName { reason, .. }) => Err(refuse(reason.to_owned())),
        Err(error) => Err(refuse(error.to_string())),
        Ok(()) if name.len() > name::PORTABLE_FILE_MAX_BYTES => Err(refuse(format!(
            "longer than {} bytes, the most that Mender's client installs",
            name::PORTABLE_FILE_MAX_BYTES
        ))),
        Ok(()) => Ok(()),
    }
}

fn check_labels<'a>(
    what: &'static str,
    labels: impl IntoIterator<Item = &'a String>,
) -> Result<(), WriteError> {
    labels.into_iter().try_for_each(|label| {
        let value = || label.clone();
        name::check_label(label).map_err(|reason| WriteError::Label {
            what,
            value: value(),
            reason,
        })
    })
}
