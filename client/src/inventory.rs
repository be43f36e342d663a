//! What the device is like: what its inventory scripts print.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rota_rest::device::Attribute;

use crate::{
    attributes::Attributes,
    config::Settings,
    log::{Log, chain},
    payloads,
    process::{self, Output, ProcessError},
    wake::Wake,
};

const PREFIX: &str = "mender-inventory-";
const LIMIT: Duration = Duration::from_mins(5);
const MAX_BYTES: usize = 1 << 20;

const VERSION: &str = "mender_client_version";
const VERSION_PROVIDER: &str = "mender_client_version_provider";
const MODULES: &str = "update_modules";

/// There is nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    #[error("cannot list the inventory scripts in {folder}")]
    List { folder: PathBuf, source: io::Error },
    #[error("every inventory script failed")]
    AllFailed,
    #[error(transparent)]
    Stopped(#[from] crate::wake::Stopped),
}

/// Runs all inventory scripts in the order of their names, and adds what the client itself knows.
/// A script that fails is left out; it is an error only if all do.
pub fn inventory(
    folder: &Path,
    settings: &Settings,
    wake: &Wake,
    log: &Log,
) -> Result<Vec<Attribute>, InventoryError> {
    let scripts = scripts(folder)
        .map_err(|source| InventoryError::List { folder: folder.to_owned(), source })?;
    let mut all = Attributes::default();
    let mut failed = 0;
    for script in &scripts {
        let mut command = Command::new(script);
        let output = Output::Keep { limit_bytes: MAX_BYTES };
        let parsed = match process::run(&mut command, output, LIMIT, wake, log) {
            Ok(output) => Attributes::parse(&output).map_err(|error| chain(&error)),
            Err(ProcessError::Stopped(stopped)) => return Err(stopped.into()),
            Err(error) => Err(chain(&error)),
        };
        match parsed {
            Ok(attributes) => all.merge(attributes),
            Err(error) => {
                failed += 1;
                log.warning(format_args!("{} is left out: {error}", script.display()));
            }
        }
    }
    if failed > 0 && failed == scripts.len() {
        return Err(InventoryError::AllFailed);
    }
    let provider = if all.contains(VERSION) { "external" } else { "internal" };
    if provider == "internal" {
        all.add(VERSION, env!("CARGO_PKG_VERSION"));
    }
    all.add(VERSION_PROVIDER, provider);
    add_built_in(&mut all);
    add_intervals(&mut all, settings);
    let attribute = |(name, value)| Attribute { name, value, description: None };
    Ok(all.into_json().map(attribute).collect())
}

/// A script lists the Update Modules; the client installs more than those.
fn add_built_in(all: &mut Attributes) {
    for payload_type in payloads::TYPES {
        if !all.has(MODULES, payload_type) {
            all.add(MODULES, payload_type);
        }
    }
}

/// What is in force, by the names under which a script of Mender's tells what `mender.conf` sets.
/// Such a script, where there is one, is believed.
fn add_intervals(all: &mut Attributes, settings: &Settings) {
    for (name, number) in [
        ("interval-inventory-poll-seconds", settings.inventory_poll_interval.as_secs()),
        ("interval-retry-poll-count", settings.retry_poll_count.into()),
        ("interval-retry-poll-seconds", settings.retry_poll_interval.as_secs()),
        ("interval-update-poll-seconds", settings.update_poll_interval.as_secs()),
    ] {
        if !all.contains(name) {
            all.add(name, &number.to_string());
        }
    }
}

fn scripts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut scripts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(PREFIX));
        let is_executable = fs::metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
        if is_ours && is_executable {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    fn of(scripts: &[(&str, &str)]) -> Result<Vec<(String, String)>, InventoryError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, script) in scripts {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let log = Log::new(Level::Error, Box::new(io::sink()));
        let attributes = inventory(folder.path(), &Settings::default(), &Wake::default(), &log)?;
        Ok(attributes.into_iter().map(|a| (a.name, a.value.to_string())).collect())
    }

    /// Without what the client adds to every inventory.
    fn of_scripts(scripts: &[(&str, &str)]) -> Vec<(String, String)> {
        let all = of(scripts).unwrap().into_iter();
        all.filter(|(name, _)| !name.starts_with("interval-") && name != MODULES).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn scripts_run_in_order_and_a_failing_one_is_left_out() {
        let attributes = of_scripts(&[
            ("mender-inventory-b", "echo key=2"),
            ("mender-inventory-a", "echo key=1; echo os=linux"),
            ("mender-inventory-c", "echo lost=1; exit 1"),
            ("other", "echo other=1"),
        ]);
        assert_eq!(
            attributes,
            [
                pair("key", r#"["1","2"]"#),
                pair("mender_client_version", &format!("{:?}", env!("CARGO_PKG_VERSION"))),
                pair("mender_client_version_provider", r#""internal""#),
                pair("os", r#""linux""#),
            ]
        );
    }

    #[test]
    fn a_script_may_name_the_client_version() {
        let attributes = of_scripts(&[("mender-inventory-x", "echo mender_client_version=9")]);
        assert_eq!(attributes[0], pair("mender_client_version", r#""9""#));
        assert_eq!(attributes[1], pair("mender_client_version_provider", r#""external""#));
    }

    #[test]
    fn only_a_total_failure_is_an_error() {
        assert!(matches!(of(&[("mender-inventory-x", "exit 1")]), Err(InventoryError::AllFailed)));
        assert_eq!(of_scripts(&[]).len(), 2);
    }

    #[test]
    fn the_client_tells_what_it_installs_by_itself_and_how_often_it_asks() {
        let attributes = of(&[(
            "mender-inventory-x",
            "echo update_modules=mine; echo update_modules=deb; echo interval-retry-poll-count=x",
        )])
        .unwrap();
        let modules = r#"["mine","deb","directory","docker","docker-compose","rootfs-image","script","single-file"]"#;
        for (name, value) in [
            ("update_modules", modules),
            ("interval-inventory-poll-seconds", r#""28800""#),
            ("interval-retry-poll-count", r#""x""#),
            ("interval-retry-poll-seconds", r#""300""#),
            ("interval-update-poll-seconds", r#""1800""#),
        ] {
            assert!(attributes.contains(&pair(name, value)), "{name}: {attributes:?}");
        }
    }
}
