//! Where the broker is, as a setting.

use clap::Args;
use secrecy::SecretString;

use crate::{ConnectError, NatsBus, NatsSettings};

/// The broker of a service in a process of its own.
#[derive(Debug, Clone, Args)]
pub struct BrokerAddress {
    /// The broker: `nats://host:port`, several separated by commas.
    #[arg(long, env = "ROTA_NATS_URL", value_name = "URL", hide_env_values = true)]
    pub nats_url: SecretString,
}

impl BrokerAddress {
    /// The bus there, as the service of this name.
    pub async fn connect(self, service: &str) -> Result<NatsBus, ConnectError> {
        NatsBus::connect(NatsSettings::new(self.nats_url, format!("rota-{service}"))).await
    }
}
