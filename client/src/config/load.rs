//! Reads `mender.conf`, and the file behind it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{Settings, reader::Reader};

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
        let path = &file.path;
        let errors = match read(path) {
            Ok(None) if !file.is_explicit => continue,
            Ok(None) => {
                let source = io::ErrorKind::NotFound.into();
                vec![ConfigError::Read { path: path.clone(), source }]
            }
            Ok(Some(object)) => {
                let invalid = |problem| ConfigError::Invalid { path: path.clone(), problem };
                reader.apply(&object).into_iter().map(invalid).collect()
            }
            Err(error) => vec![error],
        };
        for error in errors {
            if file.is_explicit {
                return Err(error);
            }
            warnings.push(crate::log::chain(&error));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{boot::BootLoaderKind, keys::KeyPlace};

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

    /// Loads from a main file that nobody named on the command line.
    fn from_default_place(main: &str) -> (Settings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mender.conf");
        fs::write(&path, main).unwrap();
        let file = |path| ConfigFile { path, is_explicit: false };
        let files = ConfigFiles { fallback: file(folder.path().join("none")), main: file(path) };
        load(&files).unwrap()
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
            r#"{"DeviceTier": "system"}"#,
            r#"{"DaemonLogLevel": "loud"}"#,
            r#"{"DowngradeProtection": "rootfs-image.version"}"#,
            r#"{"DowngradeProtection": ["artifact_name"]}"#,
            r#"{"HttpsClient": {"Key": "/k"}}"#,
            r#"{"BootLoader": "lilo"}"#,
            r#"{"ArtifactVerifyKey": ["/a"]}"#,
            r#"{"ArtifactVerifyKey": null}"#,
            r#"{"ArtifactVerifyKeys": "/a"}"#,
            r#"{"ArtifactVerifyKeys": ["/a", {"path": "/b"}]}"#,
            "[]",
            "{",
        ] {
            assert!(from("{}", main).is_err(), "{main}");
        }
        let across = from(r#"{"ServerURL": "https://a"}"#, r#"{"Servers": []}"#);
        assert!(matches!(across, Err(ConfigError::Invalid { .. })), "{across:?}");
    }

    #[test]
    fn what_is_wrong_in_a_file_at_its_default_place_costs_nothing_else() {
        let wrong = r#"{"ServerURL": "https://a", "Servers": [{"ServerURL": "https://b"}],
            "RetryDownloadCount": 0, "DeviceTier": "system", "BootLoader": "lilo", "DaemonLogLevel": "loud",
            "ArtifactVerifyKey": "/k", "DowngradeProtection": ["artifact_name", "app.version"]}"#;
        let (settings, warnings) = from_default_place(wrong);
        assert_eq!(settings.artifact_verify_keys, Some(vec![PathBuf::from("/k")]));
        assert_eq!(settings.downgrade_protection, ["app.version"]);
        assert_eq!(settings.servers, ["https://b"]);
        assert_eq!(settings.device_tier, "standard");
        assert_eq!(warnings.len(), 6, "{warnings:?}");
    }

    #[test]
    fn verification_keys_that_are_not_understood_do_not_allow_unsigned_artifacts() {
        let (key, other) = (PathBuf::from("/a"), PathBuf::from("/b"));
        for (main, expected) in [
            ("{}", None),
            (r#"{"ArtifactVerifyKey": ""}"#, None),
            (r#"{"ArtifactVerifyKeys": []}"#, None),
            (r#"{"ArtifactVerifyKeys": ["/a", "/b", "/a"]}"#, Some(vec![key.clone(), other])),
            (r#"{"ArtifactVerifyKeys": ["/a", 7]}"#, Some(vec![key.clone()])),
            (r#"{"ArtifactVerifyKey": "/a", "ArtifactVerifyKeys": []}"#, Some(vec![key])),
            (r#"{"ArtifactVerifyKeys": [["/a"]]}"#, Some(vec![])),
            (r#"{"ArtifactVerifyKeys": "/a"}"#, Some(vec![])),
            (r#"{"ArtifactVerifyKey": {"path": "/a"}}"#, Some(vec![])),
        ] {
            let (settings, warnings) = from_default_place(main);
            assert_eq!(settings.artifact_verify_keys, expected, "{main}");
            let is_wrong = expected.as_ref().is_some_and(|keys| keys.len() < 2);
            assert_eq!(warnings.len(), usize::from(is_wrong), "{main}: {warnings:?}");
        }
    }

    #[test]
    fn a_time_of_zero_is_not_set() {
        let zero = r#"{"UpdatePollIntervalSeconds": 0, "InventoryPollIntervalSeconds": 0,
            "ModuleTimeoutSeconds": 0, "StateScriptTimeoutSeconds": 0,
            "StateScriptRetryTimeoutSeconds": 0, "StateScriptRetryIntervalSeconds": 0}"#;
        assert_eq!(from("{}", zero).unwrap().0, Settings::default());
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
