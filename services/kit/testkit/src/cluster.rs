//! The Postgres that all tests of this machine's user share.

use std::time::Duration;

use rota_stack::{Durability, Lifetime, Postgres, PostgresOptions};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

/// Names a Postgres to use instead of a private one. Its login may create databases and roles.
const OVERRIDE: &str = "ROTA_TEST_DATABASE_URL";

/// How long the private Postgres waits for another test.
const IDLE: Duration = Duration::from_mins(1);

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A Postgres in which tests make their databases.
pub(crate) struct Cluster {
    /// The database from which others are made and dropped.
    maintenance: SecretString,
    /// Ours to keep alive, while this process runs.
    _private: Option<Postgres>,
}

impl Cluster {
    /// The one that `ROTA_TEST_DATABASE_URL` names, or a private one: started by the first test
    /// process that needs it, shared by all, gone a minute after the last.
    pub(crate) async fn get() -> &'static Self {
        CLUSTER.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        if let Ok(url) = std::env::var(OVERRIDE) {
            return Self { maintenance: url.into(), _private: None };
        }
        let uid = rustix::process::geteuid().as_raw();
        let dir = std::env::temp_dir().join(format!("rota-test-{uid}"));
        let postgres = Postgres::start(PostgresOptions {
            durability: Durability::Fast,
            lifetime: Lifetime::Shared { idle: IDLE },
            max_connections: 500,
            ..PostgresOptions::new(dir)
        })
        .await
        .unwrap_or_else(|error| panic!("no Postgres for tests: {}", chain(&error)));
        Self { maintenance: postgres.url().clone(), _private: Some(postgres) }
    }

    /// How to connect to a database of the cluster, as its owner.
    pub(crate) fn options(&self, database: &str) -> PgConnectOptions {
        let options: PgConnectOptions = self
            .maintenance
            .expose_secret()
            .parse()
            .unwrap_or_else(|error| panic!("{OVERRIDE} is no database URL: {error}"));
        options.database(database)
    }

    /// The URL of a database of the cluster.
    pub(crate) fn url(&self, database: &str) -> SecretString {
        let url = self.maintenance.expose_secret();
        let (base, query) = url.split_at(url.find('?').unwrap_or(url.len()));
        let authority = base.find("://").map_or(0, |at| at + 3);
        let base = base[authority..].find('/').map_or(base, |at| &base[..authority + at]);
        format!("{base}/{database}{query}").into()
    }

    /// A connection to the maintenance database.
    pub(crate) async fn maintenance(&self) -> PgConnection {
        PgConnection::connect(self.maintenance.expose_secret())
            .await
            .unwrap_or_else(|error| panic!("cannot connect to the tests' Postgres: {error}"))
    }
}

/// An error with its causes on one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
