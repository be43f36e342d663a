//! Database, bus and blob store: embedded ones, or those that the settings name.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use rota_blob::{BlobSettings, Blobs, DirectoryBlobs};
use rota_bus::{Bus, LocalBus, NatsBus, NatsSettings, Publisher};
use rota_stack::{Postgres, PostgresOptions};
use rota_store::{Database, DatabaseSettings, Schema};
use secrecy::{ExposeSecret, SecretString};

use crate::data_dir::DataDir;

/// The database's server: ours, or another.
pub(crate) struct Databases {
    settings: DatabaseSettings,
    private: Option<Postgres>,
}

impl Databases {
    /// Starts a private Postgres where no URL is set.
    pub(crate) async fn start(url: Option<SecretString>, data: &DataDir) -> Result<Self> {
        if let Some(url) = url {
            return Ok(Self { settings: DatabaseSettings::new(url), private: None });
        }
        let private = Postgres::start(PostgresOptions::new(data.postgres())).await?;
        let settings = DatabaseSettings::new(private.url().clone());
        Ok(Self { settings, private: Some(private) })
    }

    /// A service's schema, brought up to date.
    pub(crate) async fn schema(&self, schema: &Schema) -> Result<Database> {
        let opened = Database::connect(&self.settings, schema).await;
        opened.with_context(|| format!("database of {}", schema.name))
    }

    /// Keeps the private Postgres for as long as the process lives. Its guard stops it in an
    /// orderly way when the process ends, after the last task that needs it and however that
    /// end comes.
    pub(crate) fn keep_until_exit(self) {
        static KEPT: OnceLock<Option<Postgres>> = OnceLock::new();
        // A process has one platform, so there is nothing to be replaced.
        let _ = KEPT.set(self.private);
    }
}

/// The bus: in the process, or a broker.
pub(crate) enum Events {
    Local(LocalBus),
    Nats(NatsBus),
}

impl Events {
    /// Connects to the broker that is set, if one is.
    pub(crate) async fn start(url: Option<SecretString>) -> Result<Self> {
        let Some(url) = url else { return Ok(Self::Local(LocalBus::new())) };
        let settings = NatsSettings::new(url.expose_secret(), "rota-server");
        Ok(Self::Nats(NatsBus::connect(settings).await.context("broker")?))
    }

    /// Where services publish.
    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Local(bus) => Arc::new(bus.clone()),
            Self::Nats(bus) => Arc::new(bus.clone()),
        }
    }

    /// Where services subscribe.
    pub(crate) fn bus(&self) -> Arc<dyn Bus> {
        match self {
            Self::Local(bus) => Arc::new(bus.clone()),
            Self::Nats(bus) => Arc::new(bus.clone()),
        }
    }

    /// Begins to deliver: everybody has subscribed.
    pub(crate) fn open(&self) {
        if let Self::Local(bus) = self {
            bus.open();
        }
    }
}

/// The blob store that is set, or a directory of ours.
pub(crate) fn blobs(settings: &BlobSettings, data: &DataDir) -> Result<Arc<dyn Blobs>> {
    match settings.open().context("blob store")? {
        Some(blobs) => Ok(blobs),
        None => Ok(Arc::new(DirectoryBlobs::open(data.blobs()).context("blob store")?)),
    }
}
