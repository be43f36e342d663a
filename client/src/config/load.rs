//! Reads `mender.conf`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};

use super::{HttpsClient, Settings};
use crate::{boot::BootLoaderKind, keys::KeyPlace, log::Level};

/// The two files, the weaker first.
#[derive(Clone, Debug)]
pub struct ConfigFiles {
    pub fallback: ConfigFile,
    pub main: ConfigFile,
}

/// One configuration file.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// Named on the command line, so it must be there and sound.
    pub is_explicit: bool,
}

/// A configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the configuration {path} is not a JSON object")]
    NotJson { path: PathBuf, source: Option<serde_json::Error> },
    #[error("in the configuration {path}: {problem}")]
    Invalid { path: PathBuf, problem: &'static str },
}

/// Reads both files. The second part of the answer are warnings for the log, which itself depends
/// on the settings.
pub fn load(files: &ConfigFiles) -> Result<(Settings, Vec<String>), ConfigError> {
    let mut reader = Reader::default();
    let mut warnings = Vec::new();
    for file in [&files.fallback, &files.main] {
        let outcome = match read(&file.path) {
            Ok(None) if !file.is_explicit => continue,
            Ok(None) => Err(ConfigError::Read {
                path: file.path.clone(),
                source: io::ErrorKind::NotFound.into(),
            }),
            Ok(Some(object)) => reader
                .apply(&object)
                .map_err(|problem| ConfigError::Invalid { path: file.path.clone(), problem }),
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if file.is_explicit => return Err(error),
            Err(error) => warnings.push(crate::log::chain(&error)),
            Ok(()) => {}
        }
    }
    if reader.has_half_a_client() {
        let problem = "HttpsClient needs both Certificate and Key; set the other one, or neither";
        let path = files.main.path.clone();
        let error = ConfigError::Invalid { path, problem };
        if files.main.is_explicit {
            return Err(error);
        }
        warnings.push(crate::log::chain(&error));
    }
    let rootfs = &reader.settings.rootfs;
    if rootfs.part_a.is_some() != rootfs.part_b.is_some() {
        warnings.push(
            "only one of RootfsPartA and RootfsPartB is set; system images need both".to_owned(),
        );
    }
    Ok((reader.settings, warnings))
}

pub(super) fn read(path: &Path) -> Result<Option<Map<String, Value>>, ConfigError> {
    let not_json = |source| ConfigError::NotJson { path: path.to_owned(), source };
    match fs::read(path) {
        Ok(content) => match serde_json::from_slice(&content) {
            Ok(Value::Object(object)) => Ok(Some(object)),
            Ok(_) => Err(not_json(None)),
            Err(error) => Err(not_json(Some(error))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

/// The settings so far, and which of two exclusive keys was seen in either file.
#[derive(Default)]
struct Reader {
    settings: Settings,
    servers: OneOrMany,
    verify_keys: OneOrMany,
    client_certificate: Option<PathBuf>,
    client_key: Option<KeyPlace>,
}

/// A setting with one key for a single value and another for a list.
#[derive(Default)]
struct OneOrMany {
    has_one: bool,
    has_many: bool,
}

impl OneOrMany {
    fn is_contradictory(&self) -> bool {
        self.has_one && self.has_many
    }
}

impl Reader {
    /// Takes over what an object says. A problem ends it; what came before stays.
    fn apply(&mut self, object: &Map<String, Value>) -> Result<(), &'static str> {
        let keys = Keys::new(object);
        self.apply_plain(&keys);
        self.apply_https_client(&keys);

        if let Some(url) = keys.text("ServerURL") {
            self.servers.has_one = true;
            self.settings.servers = server(&url).into_iter().collect();
        }
        if let Some(list) = keys.list("Servers") {
            self.servers.has_many = true;
            let urls = list.iter().filter_map(Value::as_object);
            let urls = urls.filter_map(|entry| Keys::new(entry).text("ServerURL"));
            self.settings.servers = unique(urls.filter_map(|url| server(&url)));
        }
        if self.servers.is_contradictory() {
            return Err("ServerURL and Servers exclude each other; keep one of them");
        }
        if let Some(path) = keys.path("ArtifactVerifyKey") {
            self.verify_keys.has_one = true;
            self.settings.artifact_verify_keys = vec![path];
        }
        if let Some(list) = keys.list("ArtifactVerifyKeys") {
            self.verify_keys.has_many = true;
            let paths = list.iter().filter_map(Value::as_str).map(PathBuf::from);
            self.settings.artifact_verify_keys = unique(paths);
        }
        if self.verify_keys.is_contradictory() {
            return Err("ArtifactVerifyKey and ArtifactVerifyKeys exclude each other; \
                        keep one of them");
        }
        if let Some(value) = keys.get("DowngradeProtection") {
            self.settings.downgrade_protection = provides_keys(value)?;
        }
        match keys.number("RetryDownloadCount").map(u32::try_from) {
            Some(Ok(count @ 1..=10_000)) => self.settings.retry_download_count = count,
            Some(_) => return Err("RetryDownloadCount is not in 1..10000"),
            None => {}
        }
        match keys.text("BootLoader").map(|word| BootLoaderKind::parse(&word)) {
            Some(Some(kind)) => self.settings.rootfs.boot_loader = Some(kind),
            Some(None) => return Err("BootLoader is not one of grub, systemd-boot, u-boot"),
            None => {}
        }
        match keys.text("DeviceTier") {
            Some(tier) if matches!(tier.as_str(), "standard" | "system" | "micro") => {
                self.settings.device_tier = tier;
            }
            Some(_) => return Err("DeviceTier is not one of standard, system, micro"),
            None => {}
        }
        Ok(())
    }

    fn apply_plain(&mut self, keys: &Keys<'_>) {
        let settings = &mut self.settings;
        set(&mut settings.skip_verify, keys.flag("SkipVerify"));
        set_some(&mut settings.server_certificate, keys.path("ServerCertificate"));
        set_some(&mut settings.tenant_token, keys.text("TenantToken"));
        set_some(&mut settings.device_type_file, keys.path("DeviceTypeFile"));
        set_some(&mut settings.update_log_path, keys.path("UpdateLogPath"));
        let level = keys.text("DaemonLogLevel").and_then(|word| Level::parse(&word));
        set_some(&mut settings.log_level, level);
        set(&mut settings.update_poll_interval, keys.seconds("UpdatePollIntervalSeconds"));
        set(&mut settings.inventory_poll_interval, keys.seconds("InventoryPollIntervalSeconds"));
        set(&mut settings.retry_poll_interval, keys.seconds("RetryPollIntervalSeconds"));
        let count = keys.number("RetryPollCount").and_then(|count| u32::try_from(count).ok());
        set(&mut settings.retry_poll_count, count);
        let limit = keys.seconds("ConnectionTimeoutSeconds").filter(|limit| !limit.is_zero());
        let limit = limit.map(|limit| limit.min(Duration::from_hours(24)));
        set(&mut settings.connection_timeout, limit);
        let times = &mut settings.script_times;
        set(&mut times.limit, keys.seconds("StateScriptTimeoutSeconds"));
        set(&mut times.retry_limit, keys.seconds("StateScriptRetryTimeoutSeconds"));
        set(&mut times.retry_interval, keys.seconds("StateScriptRetryIntervalSeconds"));
        set(&mut settings.module_timeout, keys.seconds("ModuleTimeoutSeconds"));
        apply_control_times(settings, keys);
        set_some(&mut settings.rootfs.part_a, keys.path("RootfsPartA"));
        set_some(&mut settings.rootfs.part_b, keys.path("RootfsPartB"));
        if let Some(dbus) = keys.object("DBus") {
            set(&mut settings.dbus_enabled, dbus.flag("Enabled"));
        }
        if let Some(security) = keys.object("Security") {
            set_some(&mut settings.auth_private_key, security.key("AuthPrivateKey"));
        }
        if let Some(command) = keys.text("RebootCommand") {
            let words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
            set(&mut settings.reboot_command, Some(words).filter(|words| !words.is_empty()));
        }
    }

    fn has_half_a_client(&self) -> bool {
        self.client_certificate.is_some() != self.client_key.is_some()
    }

    /// The certificate and its key may stand in different files.
    fn apply_https_client(&mut self, keys: &Keys<'_>) {
        let Some(client) = keys.object("HttpsClient") else { return };
        set_some(&mut self.client_certificate, client.path("Certificate"));
        set_some(&mut self.client_key, client.key("Key"));
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            let client = HttpsClient { certificate: certificate.clone(), key: key.clone() };
            self.settings.https_client = Some(client);
        }
    }
}

/// Mender's client takes 0 for not set.
fn apply_control_times(settings: &mut Settings, keys: &Keys<'_>) {
    let seconds = |key| keys.seconds(key).filter(|seconds| !seconds.is_zero());
    let boot = seconds("UpdateControlMapBootExpirationTimeSeconds");
    set(&mut settings.control_map_boot_expiration, boot);
    let expiration = seconds("UpdateControlMapExpirationTimeSeconds");
    set_some(&mut settings.control_map_expiration, expiration);
    let interval = seconds("UpdateControlMapPollIntervalSeconds");
    set_some(&mut settings.control_map_poll_interval, interval);
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn set_some<T>(place: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *place = value;
    }
}

/// Protection that is not understood must not be mistaken for protection.
fn provides_keys(value: &Value) -> Result<Vec<String>, &'static str> {
    const PROBLEM: &str = "DowngradeProtection is not a list of keys of provides that hold \
                           versions, such as rootfs-image.version";
    let is_version_key = |key: &&str| !matches!(*key, "" | "artifact_name" | "artifact_group");
    let key = |value: &Value| value.as_str().filter(is_version_key).map(str::to_owned);
    let keys = value.as_array().and_then(|list| list.iter().map(key).collect());
    keys.ok_or(PROBLEM)
}

fn server(url: &str) -> Option<String> {
    let url = url.trim_end_matches('/');
    (!url.is_empty()).then(|| url.to_owned())
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

/// An object whose keys are found without regard to case.
pub(super) struct Keys<'a>(BTreeMap<String, &'a Value>);

impl<'a> Keys<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self(object.iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect())
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(&key.to_ascii_lowercase()).copied()
    }

    /// Empty texts are as good as none.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    fn key(&self, key: &str) -> Option<KeyPlace> {
        self.path(key).map(KeyPlace::from)
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    /// More than a century is for ever, and would not fit into sums.
    pub(super) fn seconds(&self, key: &str) -> Option<Duration> {
        let seconds = u64::try_from(self.number(key)?).ok()?;
        Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
    }

    fn list(&self, key: &str) -> Option<&'a Vec<Value>> {
        self.get(key)?.as_array()
    }

    fn object(&self, key: &str) -> Option<Self> {
        self.get(key)?.as_object().map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads from texts; an explicit main file.
    fn from(fallback: &str, main: &str) -> Result<(Settings, Vec<String>), ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, is_explicit| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            ConfigFile { path, is_explicit }
        };
        load(&ConfigFiles {
            fallback: file("fallback", fallback, false),
            main: file("main", main, true),
        })
    }

    #[test]
    fn the_main_file_wins_over_the_fallback() {
        let (settings, warnings) = from(
            r#"{"ServerURL": "https://old", "TenantToken": "t", "UpdatePollIntervalSeconds": 7}"#,
            r#"{"ServerURL": "https://new/"}"#,
        )
        .unwrap();
        assert_eq!(settings.servers, ["https://new"]);
        assert_eq!(settings.tenant_token.as_deref(), Some("t"));
        assert_eq!(settings.update_poll_interval, Duration::from_secs(7));
        assert_eq!(settings.inventory_poll_interval, Duration::from_hours(8));
        assert!(warnings.is_empty());
    }

    #[test]
    fn keys_have_no_case_and_wrong_types_are_ignored() {
        let (settings, _) = from(
            "{}",
            r#"{"serverURL": "https://a", "SKIPVERIFY": true, "TenantToken": 7,
                "updatePollIntervalSeconds": "soon", "Unknown": [], "RebootCommand": "a b",
                "ROOTFSPARTA": "/dev/sda2", "rootfsPartB": "/dev/sda3",
                "bootloader": "GRUB",
                "httpsclient": {"certificate": "/c", "KEY": "/k"}}"#,
        )
        .unwrap();
        assert_eq!(settings.servers, ["https://a"]);
        assert!(settings.skip_verify);
        assert_eq!(settings.tenant_token, None);
        assert_eq!(settings.update_poll_interval, Duration::from_mins(30));
        assert_eq!(settings.reboot_command, ["a", "b"]);
        assert_eq!(settings.https_client.unwrap().key, KeyPlace::File("/k".into()));
        assert_eq!(settings.rootfs.part_a.as_deref(), Some(Path::new("/dev/sda2")));
        assert_eq!(settings.rootfs.part_b.as_deref(), Some(Path::new("/dev/sda3")));
        assert_eq!(settings.rootfs.boot_loader, Some(BootLoaderKind::Grub));
    }

    #[test]
    fn server_lists_replace_and_hold_each_server_once() {
        let (settings, _) = from(
            r#"{"Servers": [{"ServerURL": "https://x"}]}"#,
            r#"{"Servers": [{"ServerURL": "https://a/"}, {"ServerURL": "https://b"},
                            {"ServerURL": "https://a"}]}"#,
        )
        .unwrap();
        assert_eq!(settings.servers, ["https://a", "https://b"]);
    }

    #[test]
    fn contradictions_are_errors_in_a_named_file() {
        for main in [
            r#"{"ServerURL": "https://a", "Servers": [{"ServerURL": "https://b"}]}"#,
            r#"{"ArtifactVerifyKey": "/a", "ArtifactVerifyKeys": ["/b"]}"#,
            r#"{"RetryDownloadCount": 0}"#,
            r#"{"DeviceTier": "huge"}"#,
            r#"{"DowngradeProtection": "rootfs-image.version"}"#,
            r#"{"DowngradeProtection": ["artifact_name"]}"#,
            r#"{"HttpsClient": {"Key": "/k"}}"#,
            r#"{"BootLoader": "lilo"}"#,
            "[]",
            "{",
        ] {
            assert!(from("{}", main).is_err(), "{main}");
        }
        let across = from(r#"{"ServerURL": "https://a"}"#, r#"{"Servers": []}"#);
        assert!(matches!(across, Err(ConfigError::Invalid { .. })), "{across:?}");
    }

    #[test]
    fn one_root_partition_is_not_enough() {
        let (_, warnings) = from("{}", r#"{"RootfsPartA": "/dev/sda2"}"#).unwrap();
        assert!(warnings[0].contains("RootfsPartB"), "{warnings:?}");
        // Each may stand in a file of its own.
        let both = from(r#"{"RootfsPartB": "/dev/sda3"}"#, r#"{"RootfsPartA": "/dev/sda2"}"#);
        assert!(both.unwrap().1.is_empty());
    }

    #[test]
    fn a_broken_default_file_is_a_warning() {
        let (settings, warnings) = from("{", r#"{"ServerURL": "https://a"}"#).unwrap();
        assert_eq!(settings.servers, ["https://a"]);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_missing_file_matters_only_when_named() {
        let missing = |is_explicit| ConfigFile { path: "/nonexistent".into(), is_explicit };
        let files =
            |is_explicit| ConfigFiles { fallback: missing(false), main: missing(is_explicit) };
        assert_eq!(load(&files(false)).unwrap().0, Settings::default());
        assert!(matches!(load(&files(true)), Err(ConfigError::Read { .. })));
    }
}
