//! What the service can be told.

use chrono::TimeDelta;
use clap::Args;

/// The largest Artifact by default: 10 GiB (server API, `storage.max_image_size`).
const MAX_ARTIFACT_BYTES: u64 = 10 << 30;

/// The service's settings.
#[derive(Debug, Clone, Args)]
#[group(id = "deployments")]
pub struct Config {
    /// The largest Artifact that is taken, in bytes.
    #[arg(
        long,
        env = "ROTA_MAX_ARTIFACT_BYTES",
        default_value_t = MAX_ARTIFACT_BYTES,
        value_name = "BYTES"
    )]
    pub max_artifact_bytes: u64,
    /// Hours that a device's download link holds, at most 168.
    #[arg(
        long,
        env = "ROTA_DEVICE_LINK_HOURS",
        default_value = "24",
        value_name = "HOURS",
        value_parser = clap::value_parser!(u32).range(1..=168)
    )]
    pub device_link_hours: u32,
    /// Minutes that a person's download link holds, at most a day's.
    #[arg(
        long,
        env = "ROTA_PEOPLE_LINK_MINUTES",
        default_value = "15",
        value_name = "MINUTES",
        value_parser = clap::value_parser!(u32).range(1..=1440)
    )]
    pub people_link_minutes: u32,
    /// Uploads that one process takes at the same time, half of them for one tenant; more are
    /// told to come again.
    #[arg(
        id = "deployments_max_uploads",
        long = "deployments-max-uploads",
        env = "ROTA_DEPLOYMENTS_MAX_UPLOADS",
        default_value = "128",
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_uploads: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_artifact_bytes: MAX_ARTIFACT_BYTES,
            device_link_hours: 24,
            people_link_minutes: 15,
            max_uploads: 128,
        }
    }
}

impl Config {
    pub(crate) fn device_link_lifetime(&self) -> TimeDelta {
        TimeDelta::hours(self.device_link_hours.into())
    }

    pub(crate) fn people_link_lifetime(&self) -> TimeDelta {
        TimeDelta::minutes(self.people_link_minutes.into())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_flags_default_to_the_defaults() {
        let parsed = Program::try_parse_from(["rota-deployments"]).unwrap().config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        assert!(Program::try_parse_from(["x", "--device-link-hours", "169"]).is_err());
    }
}
