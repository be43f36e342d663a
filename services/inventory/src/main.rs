//! inventory in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_inventory::{Config, Deps, Inventory, SCHEMA};
use rota_store::{Database, DatabaseSettings};

#[derive(Debug, Args)]
struct Settings {
    /// The database: `postgres://user:password@host/database`.
    #[arg(long, env = "ROTA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    rota_runtime::run(async |settings: Settings, env| {
        let database = DatabaseSettings::new(settings.database_url);
        let db = Database::connect(&database, &SCHEMA).await.context("database")?;
        let deps = Deps { db, clock: Arc::clone(&env.clock) };
        Ok(Inventory::new(settings.config, deps))
    })
}
