//! Where container programs and their files are, and how long containers may take to come up.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::Paths,
    payloads::{PayloadError, disk},
};

/// As Mender's module waits.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

const SETTLE: Duration = Duration::from_secs(2);

/// Where Mender's module keeps compose projects, if the device has such a data partition.
const MENDERS_DATA: &str = "/data";
const STORE: &str = "mender-docker-compose";

/// What types of payload with containers depend on.
#[derive(Clone, Debug)]
pub struct ContainerSettings {
    /// The program `docker`; `docker-compose`, where compose is no part of it, lies beside it.
    pub docker: PathBuf,
    /// The configuration file of Mender's module; it need not be there.
    pub compose_config: PathBuf,
    /// The client's data folder.
    pub data: PathBuf,
    /// How long containers must stay up before they count as such: programs that cannot work end
    /// soon, but not at once.
    pub settle: Duration,
}

impl ContainerSettings {
    pub fn new(paths: &Paths) -> Self {
        Self {
            docker: "docker".into(),
            compose_config: paths.config.join("mender-docker-compose.conf"),
            data: paths.data.clone(),
            settle: SETTLE,
        }
    }
}

impl Default for ContainerSettings {
    /// With the usual folders.
    fn default() -> Self {
        Self::new(&Paths::from_environment(|_| None))
    }
}

/// What the configuration file of Mender's module may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ComposeConfig {
    pub(super) store: PathBuf,
    /// For containers to come up, and to be healthy.
    pub(super) wait_limit: Duration,
}

impl ComposeConfig {
    pub(super) fn read(settings: &ContainerSettings) -> Result<Self, PayloadError> {
        let path = &settings.compose_config;
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(PayloadError::disk("read", path))?,
        };
        let has_data = disk::kind(Path::new(MENDERS_DATA))?.is_some();
        let data = if has_data { Path::new(MENDERS_DATA) } else { &settings.data };
        Self::parse(&text, data.join(STORE))
            .map_err(|problem| PayloadError::Device(format!("in {}: {problem}", path.display())))
    }

    /// The file is a piece of shell for Mender's module; only plain assignments count here.
    fn parse(text: &str, store: PathBuf) -> Result<Self, String> {
        let mut config = Self { store, wait_limit: WAIT_LIMIT };
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else { continue };
            let value = value.trim_matches(['"', '\'']);
            match key {
                "PERSISTENT_STORE" if value.starts_with('/') => config.store = value.into(),
                "PERSISTENT_STORE" => {
                    return Err(format!("PERSISTENT_STORE must be an absolute path, not {value}"));
                }
                "WAIT_TIMEOUT" => {
                    let seconds = value.parse();
                    let seconds = seconds.map_err(|_| {
                        format!("WAIT_TIMEOUT must be a number of seconds, not {value}")
                    })?;
                    config.wait_limit = Duration::from_secs(seconds);
                }
                _ => {}
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_assignments_are_read() {
        let parse = |text| ComposeConfig::parse(text, "/default".into());
        assert_eq!(
            parse("").unwrap(),
            ComposeConfig { store: "/default".into(), wait_limit: Duration::from_mins(2) }
        );
        let text =
            "# PERSISTENT_STORE=/no\n\nTAR_CMD=x\n PERSISTENT_STORE=\"/srv/x\"\nWAIT_TIMEOUT=5";
        assert_eq!(
            parse(text).unwrap(),
            ComposeConfig { store: "/srv/x".into(), wait_limit: Duration::from_secs(5) }
        );
        assert!(parse("PERSISTENT_STORE=x").is_err());
        assert!(parse("WAIT_TIMEOUT=$MORE").is_err());
    }
}
