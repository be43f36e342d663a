//! Devices in Postgres. Every method is one operation, whole or not at all; each that writes
//! commits its events and revocations with the change.

mod authentication;
mod changes;
mod limits;
mod lists;
mod rows;

pub(crate) use authentication::Credential;
pub(crate) use changes::{Known, Scope};
pub(crate) use lists::Selection;

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
