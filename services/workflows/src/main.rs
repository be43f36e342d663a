//! workflows in a process of its own.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_bus::BrokerAddress;
use rota_store::DatabaseAddress;
use rota_workflows::{Config, Deps, SCHEMA, Workflows};

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
        let bus = settings.broker.connect(SCHEMA.name).await.context("broker")?;
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
