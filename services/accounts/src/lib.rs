//! Tenants, the people in them, and how they sign in.
//!
//! A person signs in with an e-mail address, which is unique over all tenants, and a password,
//! and gets a token that gateways verify by themselves. Each token is a session here; to end
//! it is to revoke it at every gateway ([`rota_trust`]). Devices say whose they are with their
//! tenant's token, and belong to the default tenant when they name none of ours.
//!
//! - Tables: `tenants`, `sign_ins` (the directory of addresses over all tenants), `users`,
//!   `sessions`, `signing_keys`, `revocations`.
//! - Events: none.
//! - Hot reads: a sign-in's first look (`sign_ins`, `users`, `tenants`), which starts without
//!   a tenant, and a device's tenant (`tenants`).
//!
//! Architecture invariants: whether an address is known cannot be told from a sign-in, neither
//! by its answer nor by its time; a change of address, password or roles ends every other
//! sign-in of that person; a person has at most ten, and what is revoked of them is bounded by
//! as many rows for good, since a sign-in takes over the row and the epochs of one that is over.

mod app;
mod attempts;
mod config;
mod error;
mod grpc;
mod model;
mod store;

use std::{fmt, sync::Arc};

use rota_auth::{PasswordError, Passwords};
use rota_proto::accounts::v1::{
    internal_service_server::InternalServiceServer,
    management_service_server::ManagementServiceServer,
};
use rota_runtime::{Check, Clock, Service, Tasks};
use rota_store::{Database, Migrator, Schema};
use rota_trust::{OpenError, Trust};
use tonic::service::Routes;

pub use crate::config::Config;
use crate::{attempts::Attempts, store::Store};

static MIGRATOR: Migrator = sqlx::migrate!();

/// The service's schema.
pub static SCHEMA: Schema = Schema::new("accounts", &MIGRATOR, env!("CARGO_PKG_VERSION"));

/// What accounts needs around it.
pub struct Deps {
    /// Its schema.
    pub db: Database,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The keys that sign tokens.
    #[error("no signing keys")]
    Keys(#[from] OpenError),
    /// The hashing of passwords.
    #[error("passwords cannot be hashed")]
    Passwords(#[from] PasswordError),
}

/// The service. Clones are the same.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    config: Config,
    db: Database,
    store: Store,
    trust: Trust,
    /// For those who sign in.
    passwords: Passwords,
    /// For those who are in already: they leave places to those who sign in.
    changes: Passwords,
    attempts: Attempts,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Accounts {
    /// The service over a schema that is up to date. Makes the first signing key where there
    /// is none.
    pub async fn new(config: Config, deps: Deps) -> Result<Self, StartError> {
        let Deps { db, clock } = deps;
        let trust = Trust::open(db.clone(), Arc::clone(&clock), config.keys()).await?;
        let passwords = Passwords::new(config.password_cost, config.hashes_at_once())?;
        let store = Store::new(db.clone());
        let changes = passwords.yielding();
        let attempts = Attempts::new();
        let inner = Inner { config, db, store, trust, passwords, changes, attempts, clock };
        Ok(Self(Arc::new(inner)))
    }
}

impl Service for Accounts {
    const NAME: &'static str = "accounts";

    fn routes(&self) -> Routes {
        Routes::new(ManagementServiceServer::new(self.clone()))
            .add_service(InternalServiceServer::new(self.clone()))
            .add_service(self.0.trust.service())
    }

    fn tasks(&self, tasks: &Tasks) {
        tasks.spawn("accounts trust", self.0.trust.clone().run(tasks.token()));
        let accounts = self.clone();
        tasks.spawn_every("attempts at passwords", attempts::FORGET_INTERVAL, move || {
            accounts.0.attempts.forget_old();
            std::future::ready(())
        });
    }

    fn checks(&self) -> Vec<Check> {
        let db = self.0.db.clone();
        vec![Check::new("accounts database", move || {
            let db = db.clone();
            async move { db.check().await.map_err(|error| error.to_string()) }
        })]
    }
}
