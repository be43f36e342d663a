//! inventory in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_inventory::{Config, Deps, Inventory, SCHEMA};
use rota_store::DatabaseAddress;

#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    database: DatabaseAddress,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    rota_runtime::run(async |settings: Settings, env| {
        let db = settings.database.connect(&SCHEMA).await.context("database")?;
        let deps = Deps { db, clock: Arc::clone(&env.clock) };
        Ok(Inventory::new(settings.config, deps))
    })
}
