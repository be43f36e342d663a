//! Where everything lies. Three folders decide it, each by flag, environment or default.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Settings;
use crate::keys::KeyPlace;

/// The three folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Configuration and the root file system's state scripts; `/etc/mender`.
    pub config: PathBuf,
    /// Update Modules, identity and inventory scripts; `/usr/share/mender`.
    pub share: PathBuf,
    /// All that the client itself writes; `/var/lib/mender`.
    pub data: PathBuf,
}

impl Paths {
    /// From the environment: `MENDER_CONF_DIR`, `MENDER_DATA_DIR` and `MENDER_DATASTORE_DIR`.
    pub fn from_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let folder = |name, default: &str| variable(name).unwrap_or_else(|| default.into());
        Self {
            config: folder("MENDER_CONF_DIR", "/etc/mender"),
            share: folder("MENDER_DATA_DIR", "/usr/share/mender"),
            data: folder("MENDER_DATASTORE_DIR", "/var/lib/mender"),
        }
    }

    pub fn main_config(&self) -> PathBuf {
        self.config.join("mender.conf")
    }

    pub fn fallback_config(&self) -> PathBuf {
        self.data.join("mender.conf")
    }

    pub fn rootfs_scripts(&self) -> PathBuf {
        self.config.join("scripts")
    }

    pub fn artifact_scripts(&self) -> PathBuf {
        self.data.join("scripts")
    }

    pub fn modules(&self) -> PathBuf {
        self.share.join("modules/v3")
    }

    /// The work tree of the one payload.
    pub fn work_tree(&self) -> PathBuf {
        self.data.join("modules/v3/payloads/0000/tree")
    }

    pub fn identity_script(&self) -> PathBuf {
        self.share.join("identity/mender-device-identity")
    }

    pub fn inventory_scripts(&self) -> PathBuf {
        self.share.join("inventory")
    }

    /// The key that the client makes for itself, unless the configuration names one.
    pub fn own_key(&self) -> PathBuf {
        self.data.join("mender-agent.pem")
    }

    /// The key that tells this device from others. A device of the Go client (to 3.x) without
    /// `AuthPrivateKey` has none of its own if `HttpsClient` names one: that is its identity, too.
    /// The client's store is how such a device is known; a new one makes a key, as since 4.0.
    pub fn device_key(&self, settings: &Settings) -> DeviceKeyPlace {
        let of_tls = || settings.https_client.as_ref().map(|client| client.key.clone());
        let is_of_go = || self.old_store().exists() && !self.own_key().exists();
        let named = settings.auth_private_key.clone().or_else(|| of_tls().filter(|_| is_of_go()));
        DeviceKeyPlace {
            is_static: named.is_some(),
            place: named.unwrap_or_else(|| KeyPlace::File(self.own_key())),
        }
    }

    pub fn device_type(&self, settings: &Settings) -> PathBuf {
        settings.device_type_file.clone().unwrap_or_else(|| self.data.join("device_type"))
    }

    pub fn deployment_logs(&self, settings: &Settings) -> PathBuf {
        settings.update_log_path.clone().unwrap_or_else(|| self.data.clone())
    }

    /// What Mender's client must not forget.
    pub fn old_store(&self) -> PathBuf {
        self.data.join("mender-store")
    }

    /// The name of the software that an image was delivered with, for clients before 4.0.
    pub fn artifact_info(&self) -> PathBuf {
        self.config.join("artifact_info")
    }

    pub fn bootstrap_artifact(&self) -> PathBuf {
        self.data.join("bootstrap.mender")
    }

    /// Held and filled with its process id by the running daemon.
    pub fn daemon_lock(&self) -> PathBuf {
        self.data.join("rota-client.pid")
    }
}

/// Where the device's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKeyPlace {
    pub place: KeyPlace,
    /// The configuration names it, so it is never made or replaced here.
    pub is_static: bool,
}

/// The device does not know what it is.
#[derive(Debug, thiserror::Error)]
pub enum DeviceTypeError {
    #[error("cannot read {path}; write one line device_type=… to it")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} must hold exactly one line, device_type=…")]
    Malformed { path: PathBuf },
}

/// Reads the device type from its file.
pub fn read_device_type(path: &Path) -> Result<String, DeviceTypeError> {
    let content = fs::read_to_string(path)
        .map_err(|source| DeviceTypeError::Read { path: path.to_owned(), source })?;
    content
        .strip_prefix("device_type=")
        .map(|value| value.strip_suffix('\n').unwrap_or(value))
        .filter(|value| !value.is_empty() && !value.contains('\n'))
        .map(str::to_owned)
        .ok_or_else(|| DeviceTypeError::Malformed { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_type_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device_type");
        let of = |content: &str| {
            fs::write(&path, content).unwrap();
            read_device_type(&path).ok()
        };
        assert_eq!(of("device_type=board\n").as_deref(), Some("board"));
        assert_eq!(of("device_type=board").as_deref(), Some("board"));
        for bad in ["", "device_type=\n", "device_type=a\nfoo", "type=a\n"] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(read_device_type(&path), Err(DeviceTypeError::Read { .. })));
    }

    #[test]
    fn folders_come_from_the_environment() {
        let paths = Paths::from_environment(|name| {
            (name == "MENDER_DATASTORE_DIR").then(|| PathBuf::from("/tmp/d1"))
        });
        assert_eq!(paths.fallback_config(), Path::new("/tmp/d1/mender.conf"));
        assert_eq!(paths.main_config(), Path::new("/etc/mender/mender.conf"));
    }
}
