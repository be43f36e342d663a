//! A service's own schema in Postgres: migrations, walls between tenants, and its events.
//!
//! # Writing migrations
//!
//! A service embeds its `migrations/` with `sqlx::migrate!` and names its schema in one place:
//!
//! ```ignore
//! pub static MIGRATOR: Migrator = sqlx::migrate!();
//! pub static SCHEMA: Schema = Schema::new("deployments", &MIGRATOR, env!("CARGO_PKG_VERSION"));
//! ```
//!
//! Migrations run as the owner with the schema first in the search path, after the kit's own
//! (`sql/`). Each table is put behind its wall by the migration that creates it; a start with
//! a table that is not fails.
//!
//! ```sql
//! create table deployments.artifacts (
//!     tenant_id uuid not null,
//!     id uuid not null,
//!     primary key (tenant_id, id)
//! );
//! select rota_tenant_table('artifacts');      -- the service's role sees one tenant's rows
//! select rota_hot_table('artifacts');         -- besides: the hot role reads all tenants'
//! select rota_platform_table('signing_keys'); -- a table without tenant_id
//! select rota_oldest_binary('0.3.0');         -- only when this migration contracts
//! ```
//!
//! Migrations only expand; what old binaries still use is dropped a release later. For sqlx's
//! checked macros, `services/kit/store/apply.sh <schema> <folder>` makes the schema afresh in
//! the database at `DATABASE_URL`.
//!
//! # Row security and indexes
//!
//! Within a [`TenantTx`] Postgres adds `tenant_id = …` itself, and uses an index with it. It
//! evaluates a condition in an index only when the operator is marked leakproof: comparisons
//! of uuid, text, integers, booleans and timestamps are, those of `numeric` and `jsonb`,
//! `like` and all functions are not and become filters on the tenant's rows. A search that
//! needs such an index belongs to [`Database::hot`], with `tenant_id = $1` written out and a
//! cross-tenant test of its own.

mod address;
mod consumer;
mod database;
pub mod dead_letters;
mod error;
pub mod inbox;
mod keyset;
mod listener;
mod migration;
pub mod outbox;
mod relay;
mod replay;
mod tx;

pub use address::DatabaseAddress;
pub use consumer::{Consumer, Effect, EffectError};
pub use database::{Database, DatabaseSettings, NotReady, Schema};
pub use error::{
    check_violation, error_code, foreign_key_violation, is_retryable, is_unavailable,
    unique_violation,
};
pub use keyset::{Cursor, InvalidCursor};
pub use listener::{Listener, Signal};
pub use migration::ConnectError;
pub use relay::Relay;
pub use tx::{PlatformTx, TenantTx};

pub use sqlx::{self, PgConnection, PgPool, migrate::Migrator};
