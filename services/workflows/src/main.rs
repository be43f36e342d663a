//! workflows in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_bus::{NatsBus, NatsSettings};
use rota_store::{Database, DatabaseSettings};
use rota_workflows::{Config, Deps, SCHEMA, Workflows};

#[derive(Debug, Args)]
struct Settings {
    /// The database: `postgres://user:password@host/database`.
    #[arg(long, env = "ROTA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,
    /// The broker: `nats://host:port`, several separated by commas.
    #[arg(long, env = "ROTA_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: String,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    rota_runtime::run(async |settings: Settings, env| {
        let database = DatabaseSettings::new(settings.database_url);
        let db = Database::connect(&database, &SCHEMA).await.context("database")?;
        let nats = NatsSettings::new(settings.nats_url, "rota-workflows");
        let bus = NatsBus::connect(nats).await.context("broker")?;
        let deps = Deps {
            db,
            bus: Arc::new(bus),
            deviceauth: env.rpc("deviceauth")?,
            inventory: env.rpc("inventory")?,
            deployments: env.rpc("deployments")?,
        };
        Workflows::new(settings.config, deps).await.context("events")
    })
}
