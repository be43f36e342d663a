//! Rows as they lie in the tables, and devices made of them.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{AuthSetId, DeviceId};
use serde_json::{Map, Value};
use sqlx::types::Json;
use uuid::Uuid;

use crate::{
    error::Error,
    model::{AuthSet, Device, Identity},
};

#[derive(sqlx::FromRow)]
pub(super) struct DeviceRow {
    pub(super) id: Uuid,
    pub(super) identity_data: Json<Map<String, Value>>,
    pub(super) status: String,
    pub(super) decommissioning: bool,
    pub(super) revision: i64,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) check_in_at: Option<DateTime<Utc>>,
    pub(super) first_accepted_at: Option<DateTime<Utc>>,
}

pub(super) struct AuthSetRow {
    pub(super) id: Uuid,
    pub(super) device_id: Uuid,
    pub(super) key_hash: Vec<u8>,
    pub(super) public_key: String,
    pub(super) status: String,
    pub(super) epoch: i64,
    pub(super) created_at: DateTime<Utc>,
}

impl TryFrom<DeviceRow> for Device {
    type Error = Error;

    fn try_from(row: DeviceRow) -> Result<Self, Error> {
        let status = row.status.parse().map_err(|_| Error::Row {
            table: "devices",
            column: "status",
            row: row.id.to_string(),
        })?;
        Ok(Self {
            id: DeviceId(row.id),
            identity: Identity::from_data(row.identity_data.0),
            status,
            decommissioning: row.decommissioning,
            revision: row.revision,
            created: row.created_at,
            updated: row.updated_at,
            check_in: row.check_in_at,
            first_accepted: row.first_accepted_at,
            auth_sets: Vec::new(),
        })
    }
}

impl TryFrom<AuthSetRow> for AuthSet {
    type Error = Error;

    fn try_from(row: AuthSetRow) -> Result<Self, Error> {
        let unreadable =
            |column| Error::Row { table: "auth_sets", column, row: row.id.to_string() };
        Ok(Self {
            id: AuthSetId(row.id),
            key_hash: row.key_hash.as_slice().try_into().map_err(|_| unreadable("key_hash"))?,
            status: row.status.parse().map_err(|_| unreadable("status"))?,
            public_key: row.public_key,
            epoch: row.epoch,
            created: row.created_at,
        })
    }
}

/// Gives devices their auth sets, in the order in which those came.
pub(super) async fn with_auth_sets(
    tx: &mut TenantTx,
    rows: Vec<DeviceRow>,
) -> Result<Vec<Device>, Error> {
    let mut devices = rows.into_iter().map(Device::try_from).collect::<Result<Vec<_>, Error>>()?;
    let ids: Vec<Uuid> = devices.iter().map(|device| device.id.uuid()).collect();
    let tenant = tx.tenant().uuid();
    let mut sets = sqlx::query_as!(
        AuthSetRow,
        "select id, device_id, key_hash, public_key, status, epoch, created_at
         from deviceauth.auth_sets
         where tenant_id = $1 and device_id = any($2)
         order by device_id, created_at, id",
        tenant,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    for device in &mut devices {
        let id = device.id.uuid();
        let own = sets.extract_if(.., |set| set.device_id == id);
        device.auth_sets = own.map(AuthSet::try_from).collect::<Result<_, _>>()?;
    }
    Ok(devices)
}
