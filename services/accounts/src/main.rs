//! accounts in a process of its own, and the operator's commands beside it.

mod operator;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_accounts::{Accounts, Config, Deps, SCHEMA};
use rota_store::DatabaseAddress;

#[derive(Debug, Args)]
#[command(after_help = operator::overview())]
struct Settings {
    #[command(flatten)]
    database: DatabaseAddress,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    if operator::is_asked() {
        return operator::run();
    }
    rota_runtime::run(async |settings: Settings, env: Arc<rota_runtime::Env>| {
        let db = settings.database.connect(&SCHEMA).await.context("database")?;
        let deps = Deps { db, clock: Arc::clone(&env.clock) };
        Ok(Accounts::new(settings.config, deps).await?)
    })
}
