//! A nats-server for one test.

use rota_bus::{NatsBus, NatsSettings};
use rota_stack::{Nats, NatsOptions};
use tempfile::TempDir;

use crate::cluster::chain;

/// A private nats-server with JetStream. Stopped, and its streams removed, with the value.
#[derive(Debug)]
pub struct TestNats {
    server: Nats,
    _dir: TempDir,
}

impl TestNats {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("the system's temporary directory can be written");
        let server = Nats::start(NatsOptions::new(dir.path()))
            .await
            .unwrap_or_else(|error| panic!("no nats-server for tests: {}", chain(&error)));
        Self { server, _dir: dir }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// A bus on this server, as the service `name`.
    pub async fn bus(&self, name: &str) -> NatsBus {
        NatsBus::connect(NatsSettings::new(self.url().to_owned(), name))
            .await
            .unwrap_or_else(|error| panic!("no bus: {}", chain(&error)))
    }
}
