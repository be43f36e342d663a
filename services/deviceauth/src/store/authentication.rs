//! What an authentication request reads and writes.

use chrono::{DateTime, Utc};
use rota_store::TenantTx;
use rota_types::{AuthSetId, DeviceId, TenantId};

use super::{Scope, Store, changes};
use crate::{
    error::Error,
    model::{AuthSet, AuthSetStatus, Device, Identity},
};

/// What is known of an identity together with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) device: DeviceId,
    pub(crate) auth_set: AuthSetId,
    pub(crate) status: AuthSetStatus,
    pub(crate) epoch: i64,
    pub(crate) decommissioning: bool,
    pub(crate) check_in: Option<DateTime<Utc>>,
}

/// How often a first contact starts over that met a device which vanished again.
const ATTEMPTS: u32 = 3;

impl Store {
    /// What is known of an identity with a key: one index read, across tenants by role and
    /// bound to one by its words.
    pub(crate) async fn credential(
        &self,
        tenant: TenantId,
        identity_hash: &[u8; 32],
        key_hash: &[u8; 32],
    ) -> Result<Option<Credential>, Error> {
        let row = sqlx::query!(
            "select s.id, s.device_id, s.status, s.epoch, d.decommissioning, d.check_in_at
             from deviceauth.auth_sets s
             join deviceauth.devices d on d.tenant_id = s.tenant_id and d.id = s.device_id
             where s.tenant_id = $1 and s.identity_hash = $2 and s.key_hash = $3",
            tenant.uuid(),
            &identity_hash[..],
            &key_hash[..],
        )
        .fetch_optional(self.db.hot())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let status = row.status.parse().map_err(|_| Error::Row {
            table: "auth_sets",
            column: "status",
            row: row.id.to_string(),
        })?;
        Ok(Some(Credential {
            device: DeviceId(row.device_id),
            auth_set: AuthSetId(row.id),
            status,
            epoch: row.epoch,
            decommissioning: row.decommissioning,
            check_in: row.check_in_at,
        }))
    }

    /// Takes in a key that was not known with this identity. However many requests bring it
    /// at the same time, there is one device and one auth set afterwards.
    pub(crate) async fn first_contact(
        &self,
        scope: &Scope,
        identity: &Identity,
        set: &AuthSet,
        max_pending: u32,
    ) -> Result<Credential, Error> {
        let mut tx = self.db.tenant(scope.tenant).await?;
        for _ in 0..ATTEMPTS {
            if let Some(known) = contact(&mut tx, scope, identity, set, max_pending).await? {
                tx.commit().await?;
                return Ok(known);
            }
        }
        Err(Error::Contended)
    }

    /// Notes that the device got a token.
    pub(crate) async fn check_in(
        &self,
        tenant: TenantId,
        device: DeviceId,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        sqlx::query!(
            "update deviceauth.devices set check_in_at = $3
             where tenant_id = $1 and id = $2 and (check_in_at is null or check_in_at < $3)",
            tenant.uuid(),
            device.uuid(),
            now,
        )
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }
}

/// One attempt: `None` when another request made the device at the same time and it must be read.
async fn contact(
    tx: &mut TenantTx,
    scope: &Scope,
    identity: &Identity,
    set: &AuthSet,
    max_pending: u32,
) -> Result<Option<Credential>, Error> {
    let found = changes::lock_by_identity(tx, identity).await?;
    let (mut device, is_new) = if let Some(device) = found {
        (device, false)
    } else if pending_devices(tx, max_pending).await? < i64::from(max_pending) {
        (Device::new(DeviceId::mint(), identity.clone(), scope.now), true)
    } else {
        return Err(Error::TooManyPending);
    };
    if device.auth_set_with_key(&set.key_hash).is_none() {
        if device.decommissioning {
            return Err(Error::Unauthorized);
        }
        let change = device.add_pending(set.clone(), scope.now)?;
        if !is_new {
            changes::persist(tx, scope, &device, &change).await?;
        } else if changes::insert(tx, &device).await? {
            changes::follow(tx, scope, &device, &change).await?;
        } else {
            return Ok(None);
        }
    }
    let known = device.auth_set_with_key(&set.key_hash);
    Ok(known.map(|set| Credential {
        device: device.id,
        auth_set: set.id,
        status: set.status,
        epoch: set.epoch,
        decommissioning: device.decommissioning,
        check_in: device.check_in,
    }))
}

/// How many devices wait for a decision, counted no further than `most`.
async fn pending_devices(tx: &mut TenantTx, most: u32) -> Result<i64, Error> {
    let tenant = tx.tenant().uuid();
    let count = sqlx::query_scalar!(
        "select count(*) from (
             select from deviceauth.devices
             where tenant_id = $1 and status = 'pending'
             limit $2
         ) as pending",
        tenant,
        i64::from(most),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(count.unwrap_or_default())
}
