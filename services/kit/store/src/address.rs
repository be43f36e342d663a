//! Where the database is, as a setting.

use clap::Args;
use secrecy::SecretString;

use crate::{ConnectError, Database, DatabaseSettings, Schema};

/// The database of a service in a process of its own.
#[derive(Debug, Clone, Args)]
pub struct DatabaseAddress {
    /// The database: `postgres://user:password@host/database`.
    #[arg(long, env = "ROTA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: SecretString,
}

impl DatabaseAddress {
    /// The service's schema there, brought up to date, with the default limits.
    pub async fn connect(self, schema: &Schema) -> Result<Database, ConnectError> {
        Database::connect(&DatabaseSettings::new(self.database_url), schema).await
    }
}
