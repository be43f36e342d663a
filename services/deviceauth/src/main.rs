//! deviceauth in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_bus::BrokerAddress;
use rota_deviceauth::{Config, Deps, DeviceAuth, SCHEMA};
use rota_store::DatabaseAddress;

#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    database: DatabaseAddress,
    #[command(flatten)]
    broker: BrokerAddress,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    rota_runtime::run(async |settings: Settings, env| {
        let db = settings.database.connect(&SCHEMA).await.context("database")?;
        let publisher = Arc::new(settings.broker.connect(SCHEMA.name).await.context("broker")?);
        let accounts = env.rpc("accounts")?;
        let clock = Arc::clone(&env.clock);
        let deps = Deps { db, publisher, accounts, clock };
        DeviceAuth::new(settings.config, deps).await.context("signing keys")
    })
}
