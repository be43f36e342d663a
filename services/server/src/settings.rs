//! What can be set: where things lie, what to use instead of the embedded parts, and every
//! setting of the services themselves.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use rota_blob::BlobSettings;
use secrecy::SecretString;

/// The settings of `rota-server`.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Directory for everything that is kept here [default: /var/lib/rota for root, the user's
    /// data directory otherwise].
    #[arg(long, env = "ROTA_DATA_DIR", value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address to serve devices and people on.
    #[arg(long, env = "ROTA_HTTPS_LISTEN", default_value = "[::]:8443", value_name = "ADDRESS")]
    pub(crate) https_listen: SocketAddr,
    /// Certificate that devices and people see (PEM chain), instead of one that is made at the
    /// first start.
    #[arg(long, env = "ROTA_HTTPS_CERT", value_name = "FILE", requires = "https_key")]
    pub(crate) https_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "ROTA_HTTPS_KEY", value_name = "FILE", requires = "https_cert")]
    pub(crate) https_key: Option<PathBuf>,
    /// The database of a Postgres to use instead of a private one, by its URL.
    #[arg(long, env = "ROTA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) database_url: Option<SecretString>,
    /// A broker to use instead of the bus within the process: nats://host:port.
    #[arg(long, env = "ROTA_NATS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) nats_url: Option<SecretString>,
    /// File with the keys that sign download links, instead of one in the data directory; needed
    /// where several processes serve the same links.
    #[arg(long, env = "ROTA_LINK_KEYS", value_name = "FILE")]
    pub(crate) link_keys: Option<PathBuf>,
    /// The first person's e-mail address; used when there is nobody yet.
    #[arg(
        long,
        env = "ROTA_ADMIN_EMAIL",
        value_name = "ADDRESS",
        default_value = "admin@localhost"
    )]
    pub(crate) admin_email: String,
    #[command(flatten)]
    pub(crate) blobs: BlobSettings,
    #[command(flatten)]
    pub(crate) accounts: rota_accounts::Config,
    #[command(flatten)]
    pub(crate) deviceauth: rota_deviceauth::Config,
    #[command(flatten)]
    pub(crate) inventory: rota_inventory::Config,
    #[command(flatten)]
    pub(crate) deployments: rota_deployments::Config,
    #[command(flatten)]
    pub(crate) workflows: rota_workflows::Config,
    #[command(flatten)]
    pub(crate) gateway: rota_gateway::Config,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn the_settings_of_all_services_go_together() {
        Program::command().debug_assert();
        let settings = Program::parse_from(["rota-server"]).settings;
        assert_eq!(settings.https_listen.port(), 8443);
        assert!(Program::try_parse_from(["rota-server", "--https-cert", "a"]).is_err());
    }

    /// Nobody has to look up what goes with what, and no setting has two values.
    #[test]
    fn a_flag_and_its_variable_have_one_name_and_belong_to_each_other_alone() {
        let command = Program::command();
        let mut seen = std::collections::BTreeSet::new();
        for argument in command.get_arguments() {
            let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else {
                continue;
            };
            let name = format!("ROTA_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(variable.to_str(), Some(&*name), "--{flag}");
            assert!(seen.insert(name), "--{flag} shares its variable");
        }
        assert!(seen.contains("ROTA_MAX_ARTIFACT_BYTES"), "{seen:?}");
    }
}
