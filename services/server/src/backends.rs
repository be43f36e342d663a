//! Database, bus and blob store: embedded ones, or those that the settings name.

use std::sync::Arc;

use anyhow::{Context, Result};
use rota_blob::{BlobSettings, Blobs, DirectoryBlobs};
use rota_bus::{Bus, LocalBus, NatsBus, NatsSettings, Publisher};
use rota_runtime::Env;
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

    /// Stops the private Postgres, if there is one, when everything that needs it has ended.
    pub(crate) fn stop_last(self, env: &Env) {
        if let Some(private) = self.private {
            env.last(private.stop());
        }
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
