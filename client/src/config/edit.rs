//! Changes `mender.conf` and `device_type` on the disk, as a person wants them.
//!
//! Each file is replaced as a whole: a power cut leaves the old or the new one. What a person did
//! not ask for stays as it was, whoever wrote it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{ConfigError, keys::Keys, load::read};

/// The configuration holds the tenant token.
const CONFIG_MODE: u32 = 0o600;

/// Everybody may know what the device is.
const DEVICE_TYPE_MODE: u32 = 0o644;

/// What is to be in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub server_url: String,
    /// `None` leaves what is there.
    pub server_certificate: Option<PathBuf>,
    /// An empty one is removed.
    pub tenant_token: String,
    pub update_poll_interval: Duration,
    pub inventory_poll_interval: Duration,
    pub retry_poll_interval: Duration,
}

/// A file cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("the present configuration cannot be kept; correct or remove it first")]
    Unreadable(#[source] ConfigError),
    #[error("cannot write {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// A configuration file that is being changed.
#[derive(Clone, Debug, Default)]
pub struct Config(Map<String, Value>);

impl Config {
    /// Reads a file; one that does not exist is an empty one.
    pub fn read(path: &Path) -> Result<Self, EditError> {
        Ok(Self(read(path).map_err(EditError::Unreadable)?.unwrap_or_default()))
    }

    /// A text that is in it.
    pub fn text(&self, key: &str) -> Option<String> {
        Keys::new(&self.0).text(key)
    }

    /// A number of seconds that is in it.
    pub fn seconds(&self, key: &str) -> Option<Duration> {
        Keys::new(&self.0).seconds(key)
    }

    /// Takes changes over.
    pub fn change(&mut self, changes: &Changes) {
        self.remove("Servers");
        self.set("ServerURL", changes.server_url.as_str());
        if let Some(path) = &changes.server_certificate {
            self.set("ServerCertificate", path.to_string_lossy().as_ref());
        }
        self.set("TenantToken", changes.tenant_token.as_str());
        if changes.tenant_token.is_empty() {
            self.remove("TenantToken");
        }
        self.set("UpdatePollIntervalSeconds", changes.update_poll_interval.as_secs());
        self.set("InventoryPollIntervalSeconds", changes.inventory_poll_interval.as_secs());
        self.set("RetryPollIntervalSeconds", changes.retry_poll_interval.as_secs());
    }

    /// Replaces the file.
    pub fn write(&self, path: &Path) -> Result<(), EditError> {
        let mut text = format!("{:#}", Value::Object(self.0.clone()));
        text.push('\n');
        replace(path, text.as_bytes(), CONFIG_MODE)
    }

    fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.remove(key);
        self.0.insert(key.to_owned(), value.into());
    }

    /// However it is spelled.
    fn remove(&mut self, key: &str) {
        self.0.retain(|present, _| !present.eq_ignore_ascii_case(key));
    }
}

/// Replaces the file that says what the device is.
pub fn write_device_type(path: &Path, device_type: &str) -> Result<(), EditError> {
    replace(path, format!("device_type={device_type}\n").as_bytes(), DEVICE_TYPE_MODE)
}

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), EditError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let new = folder.join(name);
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().create_new(true).write(true).mode(mode).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| EditError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    fn changes() -> Changes {
        Changes {
            server_url: "https://new".to_owned(),
            server_certificate: None,
            tenant_token: String::new(),
            update_poll_interval: Duration::from_mins(30),
            inventory_poll_interval: Duration::from_hours(8),
            retry_poll_interval: Duration::from_mins(5),
        }
    }

    #[test]
    fn what_nobody_asked_for_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/mender.conf");
        let mut config = Config(
            json!({
                "serverurl": "https://old", "Servers": [], "tenanttoken": "old",
                "RootfsPartA": "/dev/a", "ServerCertificate": "/kept", "Unknown": {"a": [1]},
            })
            .as_object()
            .unwrap()
            .clone(),
        );
        config.change(&changes());
        config.write(&path).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            written,
            json!({
                "ServerURL": "https://new", "ServerCertificate": "/kept",
                "UpdatePollIntervalSeconds": 1800, "InventoryPollIntervalSeconds": 28800,
                "RetryPollIntervalSeconds": 300,
                "RootfsPartA": "/dev/a", "Unknown": {"a": [1]},
            })
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, CONFIG_MODE);
        let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(Config::read(&path).unwrap().text("SERVERURL").as_deref(), Some("https://new"));
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mender.conf");
        fs::write(&path, "{ broken").unwrap();
        assert!(matches!(Config::read(&path), Err(EditError::Unreadable(_))));
        assert!(Config::read(&folder.path().join("absent")).unwrap().0.is_empty());
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device_type");
        write_device_type(&path, "old").unwrap();
        // The new file cannot be written where a folder has its name.
        fs::create_dir(folder.path().join("device_type.new")).unwrap();
        assert!(matches!(write_device_type(&path, "new"), Err(EditError::Write { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "device_type=old\n");
    }
}
