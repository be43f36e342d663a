//! Who the device is: what its identity script prints, as JSON.

use std::{
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

/// The device cannot say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("there is no identity script; install an executable {path} that prints key=value")]
    NoScript { path: PathBuf },
    #[error("the identity script failed")]
    Script(#[from] ProcessError),
    #[error("the identity script's output is no identity")]
    Output(#[from] MalformedLine),
    #[error("the identity script {path} printed nothing")]
    Empty { path: PathBuf },
}

/// Runs the identity script; the answer is a JSON object with sorted keys, as text.
pub fn identity(script: &Path, wake: &Wake, log: &Log) -> Result<String, IdentityError> {
    if !script.exists() {
        return Err(IdentityError::NoScript { path: script.to_owned() });
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

#[cfg(test)]
mod tests {
    use std::{fs, io, os::unix::fs::PermissionsExt};

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
    fn a_script_that_fails_or_says_nothing_is_an_error() {
        assert!(matches!(of("echo sn=7; exit 1"), Err(IdentityError::Script(_))));
        assert!(matches!(of("true"), Err(IdentityError::Empty { .. })));
        assert!(matches!(of("echo sn"), Err(IdentityError::Output(_))));
    }
}
