//! A database of its own for each test, copied from a template that has the migrations.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use rota_store::{Database, DatabaseSettings, Schema};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::cluster::{Cluster, chain};

/// What the names of tests' databases begin with; the rest is a version 7 UUID, which tells
/// when they were made.
const PREFIX: &str = "rota_test_";

/// Databases older than this that nobody is connected to were left by tests that were killed.
const STALE: Duration = Duration::from_hours(1);

/// A fresh database with the schemas of one or more services. Dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: SecretString,
    cluster: &'static Cluster,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl TestDatabase {
    /// A copy of the template with these schemas; the template is made by the first who needs
    /// it, once for all processes.
    pub async fn new(schemas: &[&Schema]) -> Self {
        let cluster = Cluster::get().await;
        let mut maintenance = cluster.maintenance().await;
        let template = template(cluster, &mut maintenance, schemas).await;
        let name = format!("{PREFIX}{}", Uuid::now_v7().simple());
        create(&mut maintenance, &name, Some(&template)).await;
        let url = cluster.url(&name);
        Self { name, url, cluster }
    }

    /// The URL, as the owner.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Settings for this database with few connections.
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            max_connections: 5,
            hot_connections: 2,
            ..DatabaseSettings::new(self.url.clone())
        }
    }

    /// The database as a service sees it, as the service does at its start.
    pub async fn connect(&self, schema: &Schema) -> Database {
        Database::connect(&self.settings(), schema)
            .await
            .unwrap_or_else(|error| panic!("cannot connect: {}", chain(&error)))
    }

    /// A connection as the owner, past every wall: to look at what a test has left.
    pub async fn owner(&self) -> PgConnection {
        PgConnection::connect_with(&self.cluster.options(&self.name))
            .await
            .unwrap_or_else(|error| panic!("cannot connect as owner: {error}"))
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (name, cluster) = (self.name.clone(), self.cluster);
        // A thread of its own: the test's runtime may be going down with us.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let mut maintenance = cluster.maintenance().await;
                drop_database(&mut maintenance, &name).await;
            });
        });
        // What is left is swept an hour later.
        let _ = dropping.join();
    }
}

/// The name of the template with these schemas, made if it is not there.
async fn template(
    cluster: &Cluster,
    maintenance: &mut PgConnection,
    schemas: &[&Schema],
) -> String {
    let mut hasher = DefaultHasher::new();
    for schema in schemas {
        schema.name.hash(&mut hasher);
        schema.fingerprint().hash(&mut hasher);
    }
    let key = hasher.finish();
    let name = format!("rota_template_{key:016x}");
    if exists(maintenance, &name).await {
        return name;
    }
    // Held until this connection closes, also when this process is killed.
    sqlx::query("select pg_advisory_lock($1)")
        .bind(i64::from_ne_bytes(key.to_ne_bytes()))
        .execute(&mut *maintenance)
        .await
        .expect("an advisory lock is always granted in the end");
    if !exists(maintenance, &name).await {
        sweep(maintenance).await;
        let unfinished = format!("{name}_new");
        drop_database(maintenance, &unfinished).await;
        create(maintenance, &unfinished, None).await;
        for schema in schemas {
            let settings = DatabaseSettings::new(cluster.url(&unfinished));
            let db = Database::connect(&settings, schema).await;
            let db = db.unwrap_or_else(|error| panic!("cannot migrate: {}", chain(&error)));
            db.close().await;
        }
        execute(maintenance, format!("alter database {unfinished} rename to {name}")).await;
    }
    sqlx::query("select pg_advisory_unlock_all()")
        .execute(maintenance)
        .await
        .expect("our own lock can be given back");
    name
}

async fn exists(maintenance: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(maintenance)
        .await
        .expect("pg_database can be read")
}

async fn create(maintenance: &mut PgConnection, name: &str, template: Option<&str>) {
    let from = template.map(|template| format!(" template {template}")).unwrap_or_default();
    execute(maintenance, format!("create database {name}{from}")).await;
}

async fn drop_database(maintenance: &mut PgConnection, name: &str) {
    let drop = format!("drop database if exists {name} with (force)");
    // Left behind at the worst, and swept later.
    let _ = maintenance.execute(AssertSqlSafe(drop)).await;
}

/// Drops what killed tests have left.
async fn sweep(maintenance: &mut PgConnection) {
    let names: Vec<String> = sqlx::query_scalar(
        "select datname::text from pg_database d where datname like 'rota\\_test\\_%'
         and not exists (select from pg_stat_activity a where a.datid = d.oid)",
    )
    .fetch_all(&mut *maintenance)
    .await
    .unwrap_or_default();
    for name in names.iter().filter(|name| is_stale(name)) {
        drop_database(maintenance, name).await;
    }
}

/// Whether the UUID in the name was minted long ago.
fn is_stale(name: &str) -> bool {
    let made = name
        .strip_prefix(PREFIX)
        .and_then(|id| Uuid::parse_str(id).ok())
        .and_then(|id| id.get_timestamp())
        .map(|time| time.to_unix().0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    made.zip(now.ok())
        .is_some_and(|(made, now)| now.as_secs().saturating_sub(made) > STALE.as_secs())
}

/// Runs a statement that takes no parameters; the names in it are our own.
async fn execute(maintenance: &mut PgConnection, sql: String) {
    maintenance
        .execute(AssertSqlSafe(sql.clone()))
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}
