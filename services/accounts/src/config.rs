//! What can be set about people and their sign-ins.

use std::{num::NonZeroUsize, path::PathBuf};

use chrono::TimeDelta;
use clap::Args;
use rota_auth::PasswordCost;
use rota_trust::KeySettings;

/// The settings of accounts. The defaults are those of the flags.
#[derive(Debug, Clone, Args)]
#[group(id = "accounts")]
pub struct Config {
    /// Seconds that a sign-in holds; 60 at the least.
    #[arg(long, env = "ROTA_USER_TOKEN_SECONDS", default_value_t = 604_800, value_name = "SECONDS",
          value_parser = clap::value_parser!(i64).range(60..=315_360_000))]
    pub user_token_seconds: i64,
    /// Passwords that are hashed at the same time, with 19 MiB each; by default one a core.
    #[arg(long, env = "ROTA_PASSWORD_HASHES", value_name = "NUMBER")]
    pub password_hashes: Option<NonZeroUsize>,
    /// File with the Ed25519 key (PKCS#8 PEM) that signs people's tokens, instead of keys that
    /// are made and kept in the database.
    #[arg(long, env = "ROTA_USER_SIGNING_KEY", value_name = "FILE")]
    pub user_signing_key: Option<PathBuf>,
    /// Days after which a signing key in the database is replaced.
    #[arg(long, env = "ROTA_USER_SIGNING_KEY_DAYS", default_value_t = 90, value_name = "DAYS",
          value_parser = clap::value_parser!(i64).range(1..=3650))]
    pub user_signing_key_days: i64,
    /// What a password's hash costs. No flag: only tests want it cheap.
    #[arg(skip = PasswordCost::Recommended)]
    pub password_cost: PasswordCost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            user_token_seconds: 604_800,
            password_hashes: None,
            user_signing_key: None,
            user_signing_key_days: 90,
            password_cost: PasswordCost::Recommended,
        }
    }
}

impl Config {
    pub(crate) fn token_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.user_token_seconds)
    }

    pub(crate) fn hashes_at_once(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.password_hashes.unwrap_or_else(cores)
    }

    pub(crate) fn keys(&self) -> KeySettings {
        KeySettings {
            lifetime: self.token_lifetime(),
            endless: true,
            replace_after: TimeDelta::days(self.user_signing_key_days),
            file: self.user_signing_key.clone(),
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
        let parsed = Program::parse_from(["accounts"]).config;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Config::default()));
        assert!(Program::try_parse_from(["accounts", "--user-token-seconds", "1"]).is_err());
    }
}
