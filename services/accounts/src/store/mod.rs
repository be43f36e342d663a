//! Tenants, people and sign-ins in Postgres. Every method is one operation, whole or not at
//! all; sign-ins that it ends are revoked with it.

mod rows;
mod sessions;
mod tenants;
mod users;

pub(crate) use sessions::{Credentials, NewSession};
pub(crate) use tenants::Resolved;
pub(crate) use users::{Edit, NewUser};

use rota_store::Database;

/// The service's schema.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    db: Database,
}

impl Store {
    pub(crate) fn new(db: Database) -> Self {
        Self { db }
    }
}
