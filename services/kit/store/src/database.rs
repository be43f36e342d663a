//! The pools of one service, and the transactions that come out of them.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use rota_types::TenantId;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    AssertSqlSafe, Connection, PgPool, Postgres, SqlSafeStr, SqlStr, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;

use crate::{ConnectError, PlatformTx, TenantTx, error, migration};

/// How often a transaction that lost against another is run at the most.
const MAX_RUNS: u32 = 5;

/// How many dead connections of the pool one transaction passes over: all of a common pool,
/// which a restart of the database leaves behind.
const MAX_DEAD: u32 = 16;

/// A pooled connection that was idle this long is tried before it is used: it may have died.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Where the database is, and how much of it one service may take.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host/database`; the login owns the schemas and may create
    /// roles, or has the roles already.
    pub url: SecretString,
    /// Connections for transactions, per service and process.
    pub max_connections: u32,
    /// Connections for hot reads, per service and process.
    pub hot_connections: u32,
    /// How long a request waits for a free connection.
    pub acquire_timeout: Duration,
    /// How long one statement may run.
    pub statement_timeout: Duration,
    /// How long a start waits for a database that does not answer yet.
    pub connect_timeout: Duration,
}

impl DatabaseSettings {
    /// The database at `url` with the default limits: 10 + 4 connections, 5 s for a
    /// connection, 15 s for a statement, 60 s for the start.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            max_connections: 10,
            hot_connections: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_mins(1),
        }
    }
}

/// What a service keeps in the database.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// The schema, which is also the service's name: `a-z` and `_`.
    pub name: &'static str,
    /// The service's migrations.
    pub migrator: &'static Migrator,
    /// This binary's version, as `major.minor.patch`.
    pub binary: &'static str,
}

impl Schema {
    /// Names a schema. `binary` is `env!("CARGO_PKG_VERSION")`.
    ///
    /// # Panics
    /// When the name has other characters than `a-z` and `_`: at compile time when used for a
    /// static.
    pub const fn new(
        name: &'static str,
        migrator: &'static Migrator,
        binary: &'static str,
    ) -> Self {
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(matches!(bytes[at], b'a'..=b'z' | b'_'), "a schema is named with a-z and _");
            at += 1;
        }
        assert!(!bytes.is_empty(), "a schema has a name");
        Self { name, migrator, binary }
    }

    /// The same for the same migrations, the kit's included: two databases with it have the
    /// same tables.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for migration in migration::kit().iter().chain(self.migrator.iter()) {
            (migration.version, &*migration.checksum).hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// The database as one service sees it. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    schema: Schema,
    runtime: PgPool,
    hot: PgPool,
    listening: PgConnectOptions,
    outbox: Arc<Notify>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("schema", &self.0.schema.name).finish_non_exhaustive()
    }
}

/// Why the service should not be given requests.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The database does not answer.
    #[error("the database does not answer")]
    Database(#[from] sqlx::Error),
    /// A later release has contracted the schema: this binary is too old for it.
    #[error("schema {schema} serves binaries from {oldest} on, and this is {binary}: upgrade")]
    TooOld {
        /// The schema.
        schema: &'static str,
        /// The oldest version that it serves.
        oldest: String,
        /// This binary's version.
        binary: &'static str,
    },
}

impl Database {
    /// Brings the schema up to date as the URL's login, and opens the pools as the service's
    /// roles. Any number of processes may do so at the same time.
    pub async fn connect(
        settings: &DatabaseSettings,
        schema: &Schema,
    ) -> Result<Self, ConnectError> {
        let url = settings.url.expose_secret();
        let login: PgConnectOptions = url.parse().map_err(ConnectError::Url)?;
        let login = login.application_name(&format!("rota-{}", schema.name));
        migration::run(&login, schema, settings.connect_timeout).await?;
        let service = format!("rota_{}", schema.name);
        let role = |role: &str| {
            login.clone().options([
                ("role", role),
                ("search_path", schema.name),
                ("statement_timeout", &settings.statement_timeout.as_millis().to_string()),
                ("idle_in_transaction_session_timeout", "60000"),
            ])
        };
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections.max(2))
                .acquire_timeout(settings.acquire_timeout)
                .idle_timeout(Duration::from_mins(10))
                .test_before_acquire(false)
                .before_acquire(|connection, meta| {
                    Box::pin(async move {
                        if meta.idle_for > TRUSTED_IDLE {
                            connection.ping().await?;
                        }
                        Ok(true)
                    })
                })
        };
        let database = Self(Arc::new(Inner {
            schema: *schema,
            runtime: pool(settings.max_connections).connect_lazy_with(role(&service)),
            hot: pool(settings.hot_connections).connect_lazy_with(role(&format!("{service}_hot"))),
            listening: role(&service),
            outbox: Arc::default(),
        }));
        database.check().await.map_err(ConnectError::NotReady)?;
        Ok(database)
    }

    /// Begins a transaction that sees and writes the rows of one tenant. One round trip.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, sqlx::Error> {
        // A UUID prints hexadecimal digits and hyphens alone.
        let begin = format!("begin; set local rota.tenant_id = '{tenant}'");
        let tx = self.begin(AssertSqlSafe(begin).into_sql_str()).await?;
        Ok(TenantTx::new(tx, tenant, Arc::clone(&self.0.outbox)))
    }

    /// Begins a transaction for platform tables. It sees no rows of tenants.
    pub async fn platform(&self) -> Result<PlatformTx, sqlx::Error> {
        let tx = self.begin("begin".into_sql_str()).await?;
        Ok(PlatformTx::new(tx, Arc::clone(&self.0.outbox)))
    }

    /// Begins a transaction; on another connection, when the pool's was found dead. Nothing
    /// has been done on it yet, so nothing can be done twice.
    async fn begin(&self, begin: SqlStr) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut dead = 0;
        loop {
            match self.0.runtime.begin_with(begin.clone()).await {
                Err(error) if dead < MAX_DEAD && error::is_dead_connection(&error) => dead += 1,
                result => return result,
            }
        }
    }

    /// Single statements that read hot tables across tenants: the short named list that the
    /// migrations gave to `rota_hot_table`. Such a statement names the tenant itself.
    pub fn hot(&self) -> &PgPool {
        &self.0.hot
    }

    /// Runs `work` with a transaction of the tenant and commits it when `work` returns `Ok`.
    /// When it lost against another transaction (serialisation failure, deadlock), runs `work`
    /// again with a new one, a few times at the most; what `work` does outside the transaction
    /// must bear repetition.
    ///
    /// ```ignore
    /// db.in_tenant(tenant, async |mut tx| {
    ///     sqlx::query!("update …").execute(&mut *tx).await?;
    ///     devices::save(&mut tx, &device).await
    /// })
    /// .await
    /// ```
    ///
    /// `work` owns the transaction, because a closure that borrowed it would make futures that
    /// are not `Send`.
    pub async fn in_tenant<T, E, F>(
        &self,
        tenant: TenantId,
        mut work: impl FnMut(TenantTx) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
        E: From<sqlx::Error> + std::error::Error + 'static,
    {
        let mut run = 1;
        loop {
            let (tx, home) = self.tenant(tenant).await?.with_home();
            let result = match (work(tx).await, home.take()) {
                (Ok(value), Some(tx)) => tx.commit().await.map(|()| value).map_err(E::from),
                (result, _) => result,
            };
            match result {
                Err(error) if run < MAX_RUNS && error::caused_by_conflict(&error) => {
                    tokio::time::sleep(error::conflict_pause(run)).await;
                    run += 1;
                }
                result => return result,
            }
        }
    }

    /// Whether the service should be given requests: the database answers, and its schema
    /// still serves this binary.
    pub async fn check(&self) -> Result<(), NotReady> {
        let oldest: String = sqlx::query_scalar("select oldest from served_binaries")
            .fetch_one(&self.0.runtime)
            .await?;
        let schema = &self.0.schema;
        if migration::version(schema.binary) < migration::version(&oldest) {
            let (schema, binary) = (schema.name, schema.binary);
            return Err(NotReady::TooOld { schema, oldest, binary });
        }
        Ok(())
    }

    /// The schema, which is also the service's name.
    pub fn schema(&self) -> &'static str {
        self.0.schema.name
    }

    /// Closes the pools; returns when the connections that were in use have come back.
    pub async fn close(&self) {
        self.0.hot.close().await;
        self.0.runtime.close().await;
    }

    pub(crate) fn runtime(&self) -> &PgPool {
        &self.0.runtime
    }

    pub(crate) fn listening(&self) -> PgConnectOptions {
        self.0.listening.clone()
    }

    /// Rung when a transaction with events was committed in this process.
    pub(crate) fn outbox_bell(&self) -> &Notify {
        &self.0.outbox
    }
}
