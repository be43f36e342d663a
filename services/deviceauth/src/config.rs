//! What can be set about devices and their tokens.

use std::path::PathBuf;

use chrono::TimeDelta;
use clap::Args;
use rota_trust::KeySettings;

/// The settings of deviceauth. The defaults are those of the flags.
#[derive(Debug, Clone, Args)]
#[group(id = "deviceauth")]
pub struct Config {
    /// Seconds that a device's token holds; 60 at the least.
    #[arg(long, env = "ROTA_DEVICE_TOKEN_SECONDS", default_value_t = 86_400, value_name = "SECONDS",
          value_parser = clap::value_parser!(i64).range(60..=315_360_000))]
    pub device_token_seconds: i64,
    /// Devices of one tenant that may wait for a decision. Beyond it new devices are told to
    /// come again later.
    #[arg(
        long,
        env = "ROTA_MAX_PENDING_DEVICES",
        default_value_t = 10_000,
        value_name = "DEVICES"
    )]
    pub max_pending_devices: u32,
    /// File with the Ed25519 key (PKCS#8 PEM) that signs device tokens, instead of keys that
    /// are made and kept in the database.
    #[arg(long, env = "ROTA_DEVICE_SIGNING_KEY", value_name = "FILE")]
    pub device_signing_key: Option<PathBuf>,
    /// Days after which a signing key in the database is replaced.
    #[arg(long, env = "ROTA_DEVICE_SIGNING_KEY_DAYS", default_value_t = 90, value_name = "DAYS",
          value_parser = clap::value_parser!(i64).range(1..=3650))]
    pub device_signing_key_days: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            device_token_seconds: 86_400,
            max_pending_devices: 10_000,
            device_signing_key: None,
            device_signing_key_days: 90,
        }
    }
}

impl Config {
    pub(crate) fn token_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.device_token_seconds)
    }

    pub(crate) fn keys(&self) -> KeySettings {
        KeySettings {
            lifetime: self.token_lifetime(),
            endless: false,
            replace_after: TimeDelta::days(self.device_signing_key_days),
            file: self.device_signing_key.clone(),
        }
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
    fn the_flags_defaults_are_the_defaults() {
        let parsed = Program::parse_from(["deviceauth"]).config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        assert!(Program::try_parse_from(["deviceauth", "--device-token-seconds", "1"]).is_err());
    }
}
