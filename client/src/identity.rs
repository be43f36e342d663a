//! Who the device is, as JSON: what its identity script prints, or without one the hardware
//! address of its first Ethernet interface.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    attributes::{Attributes, MalformedLine},
    log::Log,
    process::{self, Output, ProcessError},
    wake::Wake,
};

const LIMIT: Duration = Duration::from_mins(1);
const MAX_BYTES: usize = 64 << 10;

const INTERFACES: &str = "/sys/class/net";

/// Ethernet, among the kernel's types of interfaces (`ARPHRD_ETHER`).
const ETHERNET: &str = "1";

/// The device cannot say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(
        "there is no Ethernet interface to tell this device by; \
         install an executable {path} that prints key=value"
    )]
    NoScript { path: PathBuf },
    #[error("the identity script failed")]
    Script(#[from] ProcessError),
    #[error("the identity script's output is no identity")]
    Output(#[from] MalformedLine),
    #[error("the identity script {path} printed nothing")]
    Empty { path: PathBuf },
}

/// Runs the identity script, if there is one; the answer is a JSON object with sorted keys, as
/// text.
pub fn identity(script: &Path, wake: &Wake, log: &Log) -> Result<String, IdentityError> {
    if !script.exists() {
        let address = first_address(Path::new(INTERFACES))
            .ok_or_else(|| IdentityError::NoScript { path: script.to_owned() })?;
        return Ok(serde_json::json!({ "mac": address }).to_string());
    }
    let mut command = Command::new(script);
    let output =
        process::run(&mut command, Output::Keep { limit_bytes: MAX_BYTES }, LIMIT, wake, log)?;
    let attributes = Attributes::parse(&output)?;
    if attributes.is_empty() {
        return Err(IdentityError::Empty { path: script.to_owned() });
    }
    let object: serde_json::Map<_, _> = attributes.into_json().collect();
    Ok(serde_json::Value::from(object).to_string())
}

/// The address of the Ethernet interface that the kernel numbered first. Those named `dummy…` are
/// none: their addresses are made up anew at each start.
fn first_address(interfaces: &Path) -> Option<String> {
    let ethernet = |interface: fs::DirEntry| {
        let read = |name| Some(fs::read_to_string(interface.path().join(name)).ok()?.trim().into());
        let is_dummy = interface.file_name().to_string_lossy().starts_with("dummy");
        let kind: String = read("type")?;
        let (index, address): (String, String) = (read("ifindex")?, read("address")?);
        let index: u32 = index.parse().ok()?;
        (kind == ETHERNET && !is_dummy).then_some((index, address))
    };
    fs::read_dir(interfaces).ok()?.flatten().filter_map(ethernet).min().map(|(_, address)| address)
}

#[cfg(test)]
mod tests {
    use std::{io, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::log::Level;

    fn of(script: &str) -> Result<String, IdentityError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mender-device-identity");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        identity(&path, &Wake::default(), &Log::new(Level::Error, Box::new(io::sink())))
    }

    #[test]
    fn the_output_becomes_sorted_json() {
        let json = of("echo sn=7; echo mac=00:11; echo mac=00:12").unwrap();
        assert_eq!(json, r#"{"mac":["00:11","00:12"],"sn":"7"}"#);
    }

    #[test]
    fn without_a_script_the_first_ethernet_interface_tells_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_address(folder.path()), None);
        for (name, kind, index, address) in [
            ("lo", "772", 1, "00:00:00:00:00:00"),
            ("dummy0", "1", 2, "02:00:00:00:00:02"),
            ("wlan0", "1", 10, "02:00:00:00:00:10"),
            ("eth0", "1", 9, "02:00:00:00:00:09"),
        ] {
            let interface = folder.path().join(name);
            fs::create_dir(&interface).unwrap();
            fs::write(interface.join("type"), format!("{kind}\n")).unwrap();
            fs::write(interface.join("ifindex"), format!("{index}\n")).unwrap();
            fs::write(interface.join("address"), format!("{address}\n")).unwrap();
        }
        assert_eq!(first_address(folder.path()).unwrap(), "02:00:00:00:00:09");
    }

    #[test]
    fn a_script_that_fails_or_says_nothing_is_an_error() {
        assert!(matches!(of("echo sn=7; exit 1"), Err(IdentityError::Script(_))));
        assert!(matches!(of("true"), Err(IdentityError::Empty { .. })));
        assert!(matches!(of("echo sn"), Err(IdentityError::Output(_))));
    }
}
