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
    log::{Log, chain},
    process::{self, Output, ProcessError},
    wake::Wake,
};

const PREFIX: &str = "mender-inventory-";
const LIMIT: Duration = Duration::from_mins(5);
const MAX_BYTES: usize = 1 << 20;

const VERSION: &str = "mender_client_version";
const VERSION_PROVIDER: &str = "mender_client_version_provider";

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

/// Runs all inventory scripts in the order of their names. One that fails is left out; it is an
/// error only if all do.
pub fn inventory(folder: &Path, wake: &Wake, log: &Log) -> Result<Vec<Attribute>, InventoryError> {
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
    let attribute = |(name, value)| Attribute { name, value, description: None };
    Ok(all.into_json().map(attribute).collect())
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
        let attributes = inventory(folder.path(), &Wake::default(), &log)?;
        Ok(attributes.into_iter().map(|a| (a.name, a.value.to_string())).collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn scripts_run_in_order_and_a_failing_one_is_left_out() {
        let attributes = of(&[
            ("mender-inventory-b", "echo key=2"),
            ("mender-inventory-a", "echo key=1; echo os=linux"),
            ("mender-inventory-c", "echo lost=1; exit 1"),
            ("other", "echo other=1"),
        ])
        .unwrap();
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
        let attributes = of(&[("mender-inventory-x", "echo mender_client_version=9")]).unwrap();
        assert_eq!(attributes[0], pair("mender_client_version", r#""9""#));
        assert_eq!(attributes[1], pair("mender_client_version_provider", r#""external""#));
    }

    #[test]
    fn only_a_total_failure_is_an_error() {
        assert!(matches!(of(&[("mender-inventory-x", "exit 1")]), Err(InventoryError::AllFailed)));
        assert_eq!(of(&[]).unwrap().len(), 2);
    }
}
