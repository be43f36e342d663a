//! deployments in a process of its own.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::Args;
use rota_auth::LinkSigner;
use rota_blob::BlobSettings;
use rota_bus::BrokerAddress;
use rota_deployments::{Config, Deployments, Deps, SCHEMA};
use rota_runtime::ConfigError;
use rota_store::DatabaseAddress;

#[derive(Debug, Args)]
struct Settings {
    #[command(flatten)]
    database: DatabaseAddress,
    #[command(flatten)]
    broker: BrokerAddress,
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
        let db = settings.database.connect(&SCHEMA).await.context("database")?;
        let publisher = Arc::new(settings.broker.connect(SCHEMA.name).await.context("broker")?);
        let inventory = env.rpc("inventory")?;
        let clock = Arc::clone(&env.clock);
        let deps = Deps { db, blobs, publisher, inventory, links, clock };
        Ok(Deployments::new(settings.config, deps))
    })
}
