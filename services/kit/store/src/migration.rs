//! Bringing a schema up to date, by any number of processes at the same time.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};
use tokio::time::Instant;

use crate::{NotReady, Schema, is_unavailable};

/// The kit's own part of every schema.
static KIT: Migrator = sqlx::migrate!("sql/kit");

/// The roles of the schema that comes first in the search path.
const ROLES: &str = include_str!("../sql/roles.sql");

/// Where the kit notes which of its migrations a schema has.
const KIT_TABLE: &str = "_rota_kit_migrations";

/// How often roles are tried: they belong to the whole cluster, and services of other
/// databases may be making the same ones.
const ROLE_ATTEMPTS: u32 = 20;

/// Why the service has no database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error("the database URL is not of the form postgres://user:password@host/database")]
    Url(#[source] sqlx::Error),
    /// Nothing answered in time.
    #[error("cannot reach the database")]
    Unreachable(#[source] sqlx::Error),
    /// The service's roles could not be made or taken.
    #[error(
        "cannot set up the roles of schema {schema}: the login must be able to create roles, or be granted rota_{schema} and rota_{schema}_hot"
    )]
    Roles {
        /// The schema.
        schema: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A migration failed, or differs from what was applied.
    #[error("cannot bring schema {schema} up to date")]
    Migration {
        /// The schema.
        schema: &'static str,
        /// What failed.
        #[source]
        source: MigrateError,
    },
    /// A migration left tables outside every wall.
    #[error("schema {schema} has tables without a wall: {}", .tables.join("; "))]
    Unwalled {
        /// The schema.
        schema: &'static str,
        /// The tables, and what to do.
        tables: Vec<String>,
    },
    /// Something else that the database refused.
    #[error("cannot set up schema {schema}")]
    Setup {
        /// The schema.
        schema: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The schema is there, and is not for this binary.
    #[error("the database is not ready for this binary")]
    NotReady(#[source] NotReady),
}

/// The kit's migrations.
pub(crate) fn kit() -> &'static Migrator {
    &KIT
}

/// Creates or updates schema, roles and tables, as the login. One process does it at a time;
/// the others find it done.
pub(crate) async fn run(
    login: &PgConnectOptions,
    schema: &Schema,
    timeout: Duration,
) -> Result<(), ConnectError> {
    let setup = |source| ConnectError::Setup { schema: schema.name, source };
    let migration = |source| ConnectError::Migration { schema: schema.name, source };
    let options = login.clone().options([("search_path", schema.name)]);
    let mut owner = reach(&options, timeout).await?;
    // Held until the connection closes, also when this process is killed.
    sqlx::query("select pg_advisory_lock(hashtextextended('rota.schema.' || $1, 0))")
        .bind(schema.name)
        .execute(&mut owner)
        .await
        .map_err(setup)?;
    // The name is `a-z` and `_`, see `Schema::new`.
    let create = format!("create schema if not exists {}", schema.name);
    owner.execute(AssertSqlSafe(create)).await.map_err(setup)?;
    roles(&mut owner)
        .await
        .map_err(|source| ConnectError::Roles { schema: schema.name, source })?;
    let mut kit = tolerant(&KIT);
    kit.dangerous_set_table_name(KIT_TABLE);
    kit.run_direct(None, &mut owner, false).await.map_err(migration)?;
    tolerant(schema.migrator).run_direct(None, &mut owner, false).await.map_err(migration)?;
    let tables: Vec<String> =
        sqlx::query_scalar("select rota_unwalled()").fetch_all(&mut owner).await.map_err(setup)?;
    if !tables.is_empty() {
        return Err(ConnectError::Unwalled { schema: schema.name, tables });
    }
    owner.execute("select rota_roll_partitions()").await.map_err(setup)?;
    owner.close().await.map_err(setup)
}

/// The same migrations, without a lock of their own, and at peace with a database that is
/// ahead: during a rolling upgrade old binaries start on a new schema.
fn tolerant(migrator: &Migrator) -> Migrator {
    let mut migrator = Migrator::with_migrations(migrator.iter().cloned().collect());
    migrator.set_ignore_missing(true);
    migrator.set_locking(false);
    migrator
}

/// Connects, waiting for a database that does not answer yet.
async fn reach(
    options: &PgConnectOptions,
    timeout: Duration,
) -> Result<PgConnection, ConnectError> {
    const PAUSE: Duration = Duration::from_millis(200);
    let deadline = Instant::now() + timeout;
    loop {
        let attempt = tokio::time::timeout_at(deadline, PgConnection::connect_with(options));
        let error = match attempt.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if !is_unavailable(&error) || Instant::now() + PAUSE >= deadline {
            return Err(ConnectError::Unreachable(error));
        }
        tracing::info!(%error, "waiting for the database");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes and takes the roles, again when another database's services got in between.
async fn roles(owner: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut attempt = 1;
    loop {
        match owner.execute(ROLES).await {
            Err(error) if attempt < ROLE_ATTEMPTS && is_race(&error) => {
                tokio::time::sleep(crate::error::conflict_pause(attempt)).await;
                attempt += 1;
            }
            result => return result.map(|_| ()),
        }
    }
}

/// Whether two databases wrote the same role: duplicate object, unique violation, or
/// "tuple concurrently updated", which has no code but internal error.
fn is_race(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "42710" | "23505" | "XX000"))
}

/// `major.minor.patch` as numbers; what is missing or no number is 0.
pub(crate) fn version(text: &str) -> [u32; 3] {
    let mut numbers = [0; 3];
    let release = text.split(['-', '+']).next().unwrap_or_default();
    for (number, part) in numbers.iter_mut().zip(release.split('.')) {
        *number = part.parse().unwrap_or(0);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version("0.9.0") < version("0.10.0"));
        assert!(version("1.0.0-rc.1") < version("1.0.1"));
        assert_eq!(version("1.2"), [1, 2, 0]);
    }
}
