//! deployments in a process of its own.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_auth::LinkSigner;
use rota_blob::BlobSettings;
use rota_bus::{NatsBus, NatsSettings};
use rota_deployments::{Config, Deployments, Deps, SCHEMA};
use rota_runtime::ConfigError;
use rota_store::{Database, DatabaseSettings};

#[derive(Debug, Args)]
struct Settings {
    /// The Postgres database, with user and password.
    #[arg(long, env = "ROTA_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: String,
    /// The NATS servers, separated by commas.
    #[arg(long, env = "ROTA_NATS_URL", value_name = "URL", hide_env_values = true)]
    nats_url: String,
    /// File with the keys that sign download links, the same for every replica; made where it
    /// does not exist.
    #[arg(long, env = "ROTA_LINK_KEYS", value_name = "FILE")]
    link_keys: PathBuf,
    #[command(flatten)]
    blobs: BlobSettings,
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    rota_runtime::run(async |settings: Settings, env| {
        let blobs = settings.blobs.open().context("blob store")?;
        let blobs = blobs.ok_or_else(|| {
            ConfigError::new("--blob-dir (ROTA_BLOB_DIR) or --s3-bucket (ROTA_S3_BUCKET) is needed")
        })?;
        let links = LinkSigner::load_or_create(&settings.link_keys).context("link keys")?;
        let database = DatabaseSettings::new(settings.database_url);
        let db = Database::connect(&database, &SCHEMA).await.context("database")?;
        let nats = NatsSettings::new(settings.nats_url, "rota-deployments");
        let publisher = Arc::new(NatsBus::connect(nats).await.context("broker")?);
        let inventory = env.rpc("inventory")?;
        let clock = Arc::clone(&env.clock);
        let deps = Deps { db, blobs, publisher, inventory, links, clock };
        Ok(Deployments::new(settings.config, deps))
    })
}
