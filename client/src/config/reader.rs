//! What the keys of `mender.conf` mean.

use std::{path::PathBuf, time::Duration};

use serde_json::{Map, Value};

use super::{HttpsClient, Settings, keys::Keys};
use crate::{boot::BootLoaderKind, keys::KeyPlace, log::Level};

/// The settings so far, and which of two exclusive keys was seen in either file.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) settings: Settings,
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
    /// Takes over what an object says, and gives what is wrong with it. A problem with one key costs
    /// no other: a device must not lose its verification keys to a server that is named twice.
    pub(super) fn apply(&mut self, object: &Map<String, Value>) -> Vec<&'static str> {
        let keys = Keys::new(object);
        self.apply_plain(&keys);
        self.apply_https_client(&keys);
        let outcomes = [
            self.apply_servers(&keys),
            self.apply_verify_keys(&keys),
            self.apply_downgrade_protection(&keys),
            self.apply_retry_download_count(&keys),
            self.apply_boot_loader(&keys),
            self.apply_device_tier(&keys),
            self.apply_log_level(&keys),
        ];
        outcomes.into_iter().filter_map(Result::err).collect()
    }

    fn apply_servers(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
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
        Ok(())
    }

    /// Whoever names keys wants signatures: what is understood of them counts, and if that is
    /// nothing, nothing is installed.
    fn apply_verify_keys(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        let mut is_understood = true;
        // Empty is as good as absent.
        let one = keys.get("ArtifactVerifyKey").filter(|value| value.as_str() != Some(""));
        if let Some(value) = one {
            self.verify_keys.has_one = true;
            let path = value.as_str().map(PathBuf::from);
            is_understood &= path.is_some();
            self.settings.artifact_verify_keys = Some(path.into_iter().collect());
        }
        if let Some(value) = keys.get("ArtifactVerifyKeys") {
            self.verify_keys.has_many = true;
            let list = value.as_array();
            let paths = list.into_iter().flatten().filter_map(Value::as_str);
            is_understood &= list.is_some_and(|list| list.iter().all(Value::is_string));
            if list.is_none_or(|list| !list.is_empty()) {
                self.settings.artifact_verify_keys = Some(unique(paths.map(PathBuf::from)));
            } else if !self.verify_keys.has_one {
                self.settings.artifact_verify_keys = None;
            }
        }
        if !is_understood {
            return Err("ArtifactVerifyKey is not a path, or ArtifactVerifyKeys not a list of \
                        paths; without a path that is understood, nothing is installed");
        }
        if self.verify_keys.is_contradictory() {
            return Err("ArtifactVerifyKey and ArtifactVerifyKeys exclude each other; \
                        keep one of them");
        }
        Ok(())
    }

    /// What is understood of it protects, even where something is not.
    fn apply_downgrade_protection(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        let Some(value) = keys.get("DowngradeProtection") else { return Ok(()) };
        let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
        self.settings.downgrade_protection = list.iter().filter_map(version_key).collect();
        if value.is_array() && self.settings.downgrade_protection.len() == list.len() {
            return Ok(());
        }
        Err("DowngradeProtection is not a list of keys of provides that hold versions, \
             such as rootfs-image.version")
    }

    fn apply_retry_download_count(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        match keys.number("RetryDownloadCount").map(u32::try_from) {
            Some(Ok(count @ 1..=10_000)) => self.settings.retry_download_count = count,
            Some(_) => return Err("RetryDownloadCount is not in 1..10000"),
            None => {}
        }
        Ok(())
    }

    fn apply_boot_loader(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        match keys.text("BootLoader").map(|word| BootLoaderKind::parse(&word)) {
            Some(Some(kind)) => self.settings.rootfs.boot_loader = Some(kind),
            Some(None) => return Err("BootLoader is not one of grub, systemd-boot, u-boot"),
            None => {}
        }
        Ok(())
    }

    fn apply_device_tier(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        match keys.text("DeviceTier") {
            Some(tier) if matches!(tier.as_str(), "standard" | "micro") => {
                self.settings.device_tier = tier;
            }
            Some(tier) if tier == "system" => {
                return Err("DeviceTier system is for devices whose parts Mender's orchestrator \
                            updates, which this client does not drive; set standard or micro");
            }
            Some(_) => return Err("DeviceTier is not one of standard, micro"),
            None => {}
        }
        Ok(())
    }

    fn apply_log_level(&mut self, keys: &Keys<'_>) -> Result<(), &'static str> {
        match keys.text("DaemonLogLevel").map(|word| Level::parse(&word)) {
            Some(Some(level)) => self.settings.log_level = Some(level),
            Some(None) => {
                return Err("DaemonLogLevel is not one of trace, debug, info, warning, error");
            }
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
        // As the Go client: 0 is not set. A device that polls without a pause helps nobody, and one
        // that gives no program any time could never be updated again.
        let time = |key| keys.seconds(key).filter(|time| !time.is_zero());
        set(&mut settings.update_poll_interval, time("UpdatePollIntervalSeconds"));
        set(&mut settings.inventory_poll_interval, time("InventoryPollIntervalSeconds"));
        set(&mut settings.retry_poll_interval, keys.seconds("RetryPollIntervalSeconds"));
        let count = keys.number("RetryPollCount").and_then(|count| u32::try_from(count).ok());
        set(&mut settings.retry_poll_count, count);
        let limit = time("ConnectionTimeoutSeconds");
        let limit = limit.map(|limit| limit.min(Duration::from_hours(24)));
        set(&mut settings.connection_timeout, limit);
        let times = &mut settings.script_times;
        set(&mut times.limit, time("StateScriptTimeoutSeconds"));
        set(&mut times.retry_limit, time("StateScriptRetryTimeoutSeconds"));
        set(&mut times.retry_interval, time("StateScriptRetryIntervalSeconds"));
        set(&mut settings.module_timeout, time("ModuleTimeoutSeconds"));
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

    pub(super) fn has_half_a_client(&self) -> bool {
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

/// A key of provides whose value may be a version.
fn version_key(value: &Value) -> Option<String> {
    let key = value.as_str()?;
    (!matches!(key, "" | "artifact_name" | "artifact_group")).then(|| key.to_owned())
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use crate::config::{ConfigFile, ConfigFiles, Settings, load};

    const PAGE: &str = include_str!("../../../docs/client.md");

    /// Every single word in capitals that this file quotes above its tests is a key.
    fn known_keys() -> BTreeSet<&'static str> {
        let code = include_str!("reader.rs").split("#[cfg(test)]").next().unwrap_or_default();
        let is_key = |text: &&str| {
            text.starts_with(|first: char| first.is_ascii_uppercase())
                && text.chars().all(|letter| letter.is_ascii_alphabetic())
        };
        code.split('"').skip(1).step_by(2).filter(is_key).collect()
    }

    /// The keys in the first column of the page's tables, without the object that they are in.
    fn keys_on_the_page() -> BTreeSet<&'static str> {
        let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
        let first = rows.filter_map(|row| row.split(" | ").next());
        let keys = first.flat_map(|cell| cell.split('`').step_by(2));
        let keys = keys.filter(|key| key.starts_with(|first: char| first.is_ascii_uppercase()));
        keys.map(|key| key.rsplit('.').next().unwrap_or_default()).collect()
    }

    /// What a file says that is one of the page's examples; all of it has to be understood.
    fn settings_of(example: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file =
            |name: &str, is_explicit| ConfigFile { path: folder.path().join(name), is_explicit };
        let files = ConfigFiles { fallback: file("none", false), main: file("mender.conf", true) };
        fs::write(&files.main.path, example).unwrap();
        let (settings, warnings) = load(&files).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        settings
    }

    #[test]
    fn the_page_on_the_configuration_has_every_key_and_no_other() {
        let mut known = known_keys();
        assert!(known.len() > 30 && known.contains("ServerURL"), "{known:?}");
        // Objects, whose members are in the tables.
        for object in ["DBus", "HttpsClient", "Security"] {
            assert!(known.remove(object), "{object}");
        }
        assert_eq!(keys_on_the_page(), known);
    }

    #[test]
    fn the_examples_on_the_page_are_right() {
        let examples: Vec<_> =
            PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        let [usual, defaults] = examples[..] else { panic!("{} examples", examples.len()) };
        let usual = settings_of(usual);
        assert!(usual.https_client.is_some() && usual.artifact_verify_keys.is_some(), "{usual:?}");
        assert_eq!(settings_of(defaults), Settings::default());
    }
}
