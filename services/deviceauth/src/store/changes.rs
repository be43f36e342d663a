//! Devices that change: locked, changed by the rules of the model, and written back together
//! with what follows.

use chrono::{DateTime, Utc};
use rota_bus::EventType;
use rota_store::{
    TenantTx,
    outbox::{self, NewEvent, Origin},
};
use rota_trust::Outlives;
use rota_types::{
    AuthSetId, DeviceId, TenantId, TokenId,
    events::{DeviceDecommissioned, DeviceStatusChanged, EventData},
};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Store, limits,
    rows::{self, DeviceRow},
};
use crate::{
    error::Error,
    model::{AuthSet, Change, Device, Identity, News, Place, Refused},
};

const STATUS_CHANGED: EventType = EventType::new(
    DeviceStatusChanged::ENTITY,
    DeviceStatusChanged::TYPE,
    DeviceStatusChanged::VERSION,
);
const DECOMMISSIONED: EventType = EventType::new(
    DeviceDecommissioned::ENTITY,
    DeviceDecommissioned::TYPE,
    DeviceDecommissioned::VERSION,
);

/// In whose name something changes, why and when.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    pub(crate) tenant: TenantId,
    pub(crate) origin: Origin,
    pub(crate) now: DateTime<Utc>,
}

impl Store {
    /// Changes a device as `decide` says; with `None` nothing is written. Others who change
    /// the same device wait.
    pub(crate) async fn change(
        &self,
        scope: &Scope,
        device: DeviceId,
        decide: impl Fn(&mut Device) -> Result<Option<Change>, Error>,
    ) -> Result<Device, Error> {
        let mut tx = self.db.tenant(scope.tenant).await?;
        let mut device = lock(&mut tx, device).await?.ok_or(Error::DeviceNotFound)?;
        if let Some(change) = decide(&mut device)? {
            persist(&mut tx, scope, &device, &change).await?;
            tx.commit().await?;
        }
        Ok(device)
    }

    /// Announces a key. An identity that is known already is refused unless `known` says that
    /// the key may be added to it.
    pub(crate) async fn preauthorize(
        &self,
        scope: &Scope,
        identity: &Identity,
        set: &AuthSet,
        known: Known,
    ) -> Result<DeviceId, Error> {
        let mut tx = self.db.tenant(scope.tenant).await?;
        let mut device = Device::new(DeviceId::mint(), identity.clone(), scope.now);
        let (_, change) = device.preauthorize(set.clone(), scope.now)?;
        if insert(&mut tx, &device).await? {
            follow(&mut tx, scope, &device, &change).await?;
            tx.commit().await?;
            return Ok(device.id);
        }
        let found = lock_by_identity(&mut tx, identity).await?;
        let mut device = found.ok_or(Error::Contended)?;
        if known == Known::Refused {
            return Err(Error::Exists(device.id));
        }
        match device.preauthorize(set.clone(), scope.now) {
            Ok((Place::Kept, _)) => {}
            Ok((Place::Added | Place::Raised, change)) => {
                persist(&mut tx, scope, &device, &change).await?;
                tx.commit().await?;
            }
            Err(Refused::Decommissioning) => return Err(Error::Exists(device.id)),
            Err(refused) => return Err(refused.into()),
        }
        Ok(device.id)
    }

    /// Forgets a device whose decommissioning is done. `false`: there was none any more.
    pub(crate) async fn forget(&self, scope: &Scope, device: DeviceId) -> Result<bool, Error> {
        let mut tx = self.db.tenant(scope.tenant).await?;
        let Some(device) = lock(&mut tx, device).await? else { return Ok(false) };
        if !device.decommissioning {
            return Err(Error::NotDecommissioning(device.id));
        }
        delete(&mut tx, device.id).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The device that an auth set belongs to.
    pub(crate) async fn owner(
        &self,
        scope: &Scope,
        auth_set: AuthSetId,
    ) -> Result<Option<DeviceId>, Error> {
        let mut tx = self.db.tenant(scope.tenant).await?;
        let device = sqlx::query_scalar!(
            "select device_id from deviceauth.auth_sets where tenant_id = $1 and id = $2",
            scope.tenant.uuid(),
            auth_set.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(device.map(DeviceId))
    }
}

/// What becomes of a preauthorization when the identity is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is refused.
    Refused,
    /// The key is added to the device.
    Extended,
}

/// Reads a device and holds it until the transaction ends.
async fn lock(tx: &mut TenantTx, device: DeviceId) -> Result<Option<Device>, Error> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        DeviceRow,
        r#"select id, identity_data as "identity_data: _", status, decommissioning, revision,
                  created_at, updated_at, check_in_at, first_accepted_at
           from deviceauth.devices
           where tenant_id = $1 and id = $2
           for update"#,
        tenant,
        device.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    with_own_sets(tx, row).await
}

/// [`lock`], by identity.
pub(super) async fn lock_by_identity(
    tx: &mut TenantTx,
    identity: &Identity,
) -> Result<Option<Device>, Error> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        DeviceRow,
        r#"select id, identity_data as "identity_data: _", status, decommissioning, revision,
                  created_at, updated_at, check_in_at, first_accepted_at
           from deviceauth.devices
           where tenant_id = $1 and identity_hash = $2
           for update"#,
        tenant,
        &identity.hash()[..],
    )
    .fetch_optional(&mut **tx)
    .await?;
    with_own_sets(tx, row).await
}

async fn with_own_sets(tx: &mut TenantTx, row: Option<DeviceRow>) -> Result<Option<Device>, Error> {
    match row {
        None => Ok(None),
        Some(row) => Ok(rows::with_auth_sets(tx, vec![row]).await?.pop()),
    }
}

/// Adds a device's row. `false`: the identity has one already, made by now if another request
/// was making it.
pub(super) async fn insert(tx: &mut TenantTx, device: &Device) -> Result<bool, Error> {
    let tenant = tx.tenant().uuid();
    let inserted = sqlx::query!(
        "insert into deviceauth.devices
             (tenant_id, id, identity_hash, identity_data, status, revision, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)
         on conflict (tenant_id, identity_hash) do nothing",
        tenant,
        device.id.uuid(),
        &device.identity.hash()[..],
        Json(device.identity.data()) as _,
        device.status.word(),
        device.revision,
        device.created,
    )
    .execute(&mut **tx)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Writes what a change did to a device that has its row, and tells the others.
pub(super) async fn persist(
    tx: &mut TenantTx,
    scope: &Scope,
    device: &Device,
    change: &Change,
) -> Result<(), Error> {
    if change.takes_place {
        limits::take_place(tx).await?;
    }
    if change.vanishes {
        delete(tx, device.id).await?;
    } else {
        update(tx, device).await?;
    }
    follow(tx, scope, device, change).await
}

/// Writes what a change means beside the device's row: auth sets, revocations, the event.
pub(super) async fn follow(
    tx: &mut TenantTx,
    scope: &Scope,
    device: &Device,
    change: &Change,
) -> Result<(), Error> {
    if let Some((id, _)) = change.removed {
        delete_auth_set(tx, id).await?;
    }
    for set in change.updated.iter().filter_map(|id| device.auth_set(*id)) {
        update_auth_set(tx, set).await?;
    }
    if let Some(set) = change.added.and_then(|id| device.auth_set(id)) {
        insert_auth_set(tx, device, set).await?;
    }
    revoke(tx, scope, device, change).await?;
    announce(tx, scope, device, change).await
}

async fn update(tx: &mut TenantTx, device: &Device) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update deviceauth.devices
         set status = $3, decommissioning = $4, revision = $5, updated_at = $6,
             check_in_at = $7, first_accepted_at = $8
         where tenant_id = $1 and id = $2",
        tenant,
        device.id.uuid(),
        device.status.word(),
        device.decommissioning,
        device.revision,
        device.updated,
        device.check_in,
        device.first_accepted,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn delete(tx: &mut TenantTx, device: DeviceId) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "delete from deviceauth.devices where tenant_id = $1 and id = $2",
        tenant,
        device.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn insert_auth_set(tx: &mut TenantTx, device: &Device, set: &AuthSet) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into deviceauth.auth_sets
             (tenant_id, id, device_id, identity_hash, key_hash, public_key, status, epoch,
              created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        set.id.uuid(),
        device.id.uuid(),
        &device.identity.hash()[..],
        &set.key_hash[..],
        set.public_key,
        set.status.word(),
        set.epoch,
        set.created,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn update_auth_set(tx: &mut TenantTx, set: &AuthSet) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update deviceauth.auth_sets set status = $3, epoch = $4
         where tenant_id = $1 and id = $2",
        tenant,
        set.id.uuid(),
        set.status.word(),
        set.epoch,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn delete_auth_set(tx: &mut TenantTx, id: AuthSetId) -> Result<(), Error> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "delete from deviceauth.auth_sets where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends the tokens of what was revoked, at every gateway.
async fn revoke(
    tx: &mut TenantTx,
    scope: &Scope,
    device: &Device,
    change: &Change,
) -> Result<(), Error> {
    for id in &change.revoked {
        let epoch = match (device.auth_set(*id), change.removed) {
            (Some(set), _) => set.epoch,
            (None, Some((removed, epoch))) if removed == *id => epoch,
            (None, _) => continue,
        };
        let subject = TokenId(Uuid::from(*id));
        rota_trust::revoke(tx, subject, epoch, Outlives::EveryToken { now: scope.now }).await?;
    }
    Ok(())
}

async fn announce(
    tx: &mut TenantTx,
    scope: &Scope,
    device: &Device,
    change: &Change,
) -> Result<(), Error> {
    let event = match change.news {
        News::Nothing => return Ok(()),
        News::Decommissioned => {
            let data = DeviceDecommissioned { device: device.id };
            NewEvent::new(DECOMMISSIONED, device.id, device.revision, &data)
        }
        News::Changed => {
            let data = DeviceStatusChanged {
                device: device.id,
                status: device.status.word().to_owned(),
                identity_data: device.identity.data().clone(),
                revision: device.revision,
                created: device.created,
                check_in: device.check_in,
                first_accepted: change.first_accepted,
            };
            NewEvent::new(STATUS_CHANGED, device.id, device.revision, &data)
        }
    };
    outbox::append(tx, &scope.origin, &event).await?;
    Ok(())
}
