//! Search over devices, and what there is to search by.

use rota_types::Caller;
use sqlx::error::DatabaseError;

use crate::{
    Error, Inventory,
    model::{Device, Scope, Search},
    store::{counts, devices, search},
};

/// How many attributes the list for filters has (server API, inventory semantics).
const MAX_FILTER_ATTRIBUTES: i64 = 500;

/// A page of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Devices {
    /// The page's devices, in order.
    pub devices: Vec<Device>,
    /// How many devices match.
    pub total: i64,
}

/// An attribute that devices have, and how many do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterAttribute {
    /// The attribute's scope.
    pub scope: Scope,
    /// The attribute's name.
    pub name: String,
    /// How many devices have it.
    pub devices: i64,
}

impl Inventory {
    /// Finds devices.
    pub async fn search(&self, caller: &Caller, search: &Search) -> Result<Devices, Error> {
        let asked = search.ask()?;
        let mut tx = self.db.tenant(caller.tenant).await?;
        let in_memory = self.config.sorted_in_memory;
        let found =
            search::find(&mut tx, &asked, search.page, in_memory).await.map_err(too_slow)?;
        let devices = devices::find_all(&mut tx, &found.ids).await?.ok_or(Error::LargePage)?;
        tx.commit().await?;
        Ok(Devices { devices, total: found.total })
    }

    /// The attributes that most devices have: what filters can name.
    pub async fn filter_attributes(&self, caller: &Caller) -> Result<Vec<FilterAttribute>, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let attributes = counts::attributes(&mut tx, MAX_FILTER_ATTRIBUTES).await?;
        tx.commit().await?;
        let attribute =
            |counts::Counted { scope, name, devices }| FilterAttribute { scope, name, devices };
        Ok(attributes.into_iter().map(attribute).collect())
    }

    /// How many devices have each status.
    pub async fn statistics(&self, caller: &Caller) -> Result<Vec<(String, i64)>, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let statuses = search::statuses(&mut tx).await?;
        tx.commit().await?;
        Ok(statuses)
    }
}

/// A search that Postgres was told to give up is the caller's to change.
fn too_slow(error: sqlx::Error) -> Error {
    let code = error.as_database_error().and_then(DatabaseError::code);
    // query_canceled
    if code.as_deref() == Some("57014") { Error::TooSlow } else { error.into() }
}
