//! The provides and clears-provides that mender-artifact adds by itself, and so do we.

use std::collections::BTreeMap;

use crate::{Checksum, PayloadType};

use super::Builder;

/// The software that payloads belong to unless they say otherwise.
const ROOTFS: &str = "rootfs-image";
const CHECKSUM_KEY: &str = "rootfs-image.checksum";
pub(super) const LEGACY_CHECKSUM_KEY: &str = "rootfs_image_checksum";

/// How the payload appears among the device's software: `<filesystem>.<name>.version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SoftwareVersion {
    /// Where the software lives; `rootfs-image` unless set.
    pub filesystem: Option<String>,
    /// Its name; unless set, the payload type for modules and nothing for root filesystem images.
    pub name: Option<String>,
    /// Its version; the artifact name unless set or when empty.
    pub version: Option<String>,
}

/// Which defaults apply.
#[derive(Debug, Clone)]
pub(super) struct Switches {
    pub(super) software_version: bool,
    pub(super) clears_provides: bool,
    pub(super) checksum_key: Option<&'static str>,
}

impl Default for Switches {
    fn default() -> Self {
        Self { software_version: true, clears_provides: true, checksum_key: Some(CHECKSUM_KEY) }
    }
}

impl Builder {
    /// The payload's provides: the automatic ones, then those asked for.
    pub(super) fn all_provides(&self, image: Option<Checksum>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        if let (true, Some(key), Some(sum)) =
            (self.payload_type.is_rootfs_image(), self.defaults.checksum_key, image)
        {
            all.insert(key.to_owned(), sum.to_string());
        }
        all.extend(self.payload_provides.clone());
        if let Some((key, version)) = self.software_version()
            && (!all.contains_key(&key) || self.provided_before_software.contains(&key))
        {
            all.insert(key, version);
        }
        all
    }

    /// The patterns to clear: those asked for, then the automatic ones not among them.
    pub(super) fn all_clears_provides(&self) -> Vec<String> {
        let mut all = self.clears_provides.clone();
        for pattern in self.default_clears_provides() {
            if !all.contains(&pattern) {
                all.push(pattern);
            }
        }
        all
    }

    fn software_version(&self) -> Option<(String, String)> {
        let SoftwareVersion { name, version, .. } = &self.software;
        let explicit = name.is_some() || version.is_some();
        let wanted = self.payload_type != PayloadType::Empty && self.defaults.software_version;
        if !wanted && !explicit {
            return None;
        }
        // Without defaults, a module's type does not become the software's name.
        let name = match name {
            Some(name) => Some(name.as_str()),
            None if self.defaults.software_version => self.default_software_name(),
            None => None,
        };
        let version = version.as_ref().filter(|version| !version.is_empty()).unwrap_or(&self.name);
        Some((format!("{}.version", self.software_path(name)), version.clone()))
    }

    fn default_clears_provides(&self) -> Vec<String> {
        let Switches { software_version, clears_provides, .. } = self.defaults;
        if self.payload_type == PayloadType::Empty || !software_version || !clears_provides {
            return Vec::new();
        }
        let name = self.software.name.as_deref().or_else(|| self.default_software_name());
        let path = self.software_path(name);
        let mut patterns = Vec::new();
        if self.payload_type.is_rootfs_image() && path == ROOTFS {
            patterns.extend(["artifact_group".to_owned(), LEGACY_CHECKSUM_KEY.to_owned()]);
        }
        patterns.push(format!("{path}.*"));
        patterns
    }

    fn default_software_name(&self) -> Option<&str> {
        self.payload_type.name().filter(|_| !self.payload_type.is_rootfs_image())
    }

    fn software_path(&self, name: Option<&str>) -> String {
        let filesystem = self.software.filesystem.as_deref().unwrap_or(ROOTFS);
        match name.filter(|name| !name.is_empty()) {
            Some(name) => format!("{filesystem}.{name}"),
            None => filesystem.to_owned(),
        }
    }
}
