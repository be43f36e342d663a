//! Static groups: a device is in one at the most, and a group exists while it has devices.

use rota_types::{Caller, DeviceId, Page};
use uuid::Uuid;

use crate::{
    Error, Inventory,
    error::MAX_MOVED_DEVICES,
    model::{GroupName, Status},
    store::groups::{self, Move, Moved},
};

/// How many devices are moved in one transaction, so that others need not wait long.
const CHUNK: usize = 2000;

/// A page of a group's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The devices' ids, in order.
    pub ids: Vec<Uuid>,
    /// How many devices the group has.
    pub total: i64,
}

impl Inventory {
    /// A device's group, if it is in one.
    pub async fn group_of(
        &self,
        caller: &Caller,
        id: DeviceId,
    ) -> Result<Option<GroupName>, Error> {
        Ok(self.device(caller, id).await?.group)
    }

    /// Puts a device into a group, and out of any other.
    pub async fn set_group(
        &self,
        caller: &Caller,
        id: DeviceId,
        group: &GroupName,
    ) -> Result<(), Error> {
        let moved = self.relocate(caller, &[id.uuid()], Move::Into(group)).await?;
        if moved.matched == 0 { Err(Error::NoDevice) } else { Ok(()) }
    }

    /// Takes a device out of the group that it is in.
    pub async fn clear_group(
        &self,
        caller: &Caller,
        id: DeviceId,
        group: &GroupName,
    ) -> Result<(), Error> {
        let moved = self.relocate(caller, &[id.uuid()], Move::OutOf(group)).await?;
        match moved {
            Moved { matched: 0, .. } => Err(Error::NoDevice),
            Moved { updated: 0, .. } => Err(Error::NotMember),
            _ => Ok(()),
        }
    }

    /// The names of all groups, in order; or of those with a device of this status.
    pub async fn groups(
        &self,
        caller: &Caller,
        status: Option<Status>,
    ) -> Result<Vec<String>, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let groups = groups::list(&mut tx, status).await?;
        tx.commit().await?;
        Ok(groups)
    }

    /// A page of a group's devices.
    pub async fn members(
        &self,
        caller: &Caller,
        group: &GroupName,
        page: Page,
    ) -> Result<Members, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let total = groups::size(&mut tx, group).await?;
        let ids = groups::devices(&mut tx, group, page, total).await?;
        tx.commit().await?;
        if total == 0 { Err(Error::NoGroup) } else { Ok(Members { ids, total }) }
    }

    /// Puts devices into a group; ids of no device are passed over.
    pub async fn add_to_group(
        &self,
        caller: &Caller,
        group: &GroupName,
        ids: &[DeviceId],
    ) -> Result<Moved, Error> {
        self.relocate_all(caller, ids, Move::Into(group)).await
    }

    /// Takes devices out of a group; those that are not in it are passed over.
    pub async fn remove_from_group(
        &self,
        caller: &Caller,
        group: &GroupName,
        ids: &[DeviceId],
    ) -> Result<Moved, Error> {
        self.relocate_all(caller, ids, Move::OutOf(group)).await
    }

    /// Takes every device out of a group.
    pub async fn dissolve_group(&self, caller: &Caller, group: &GroupName) -> Result<Moved, Error> {
        let mut moved = Moved::default();
        loop {
            let limit = i64::try_from(CHUNK).unwrap_or(i64::MAX);
            let step = self
                .db
                .in_tenant(caller.tenant, async |mut tx| {
                    let ids = groups::some_devices(&mut tx, group, limit).await?;
                    groups::relocate(&mut tx, &ids, Move::OutOf(group)).await.map_err(Error::from)
                })
                .await?;
            moved.matched += step.matched;
            moved.updated += step.updated;
            match step {
                Moved { matched: 0, .. } if moved.updated == 0 => return Err(Error::NoGroup),
                Moved { matched: 0, .. } => return Ok(moved),
                _ => {}
            }
        }
    }

    async fn relocate_all(
        &self,
        caller: &Caller,
        ids: &[DeviceId],
        to: Move<'_>,
    ) -> Result<Moved, Error> {
        if ids.is_empty() {
            return Err(Error::NoDevices);
        }
        if ids.len() > MAX_MOVED_DEVICES {
            return Err(Error::TooManyDevices);
        }
        let mut ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut moved = Moved::default();
        for chunk in ids.chunks(CHUNK) {
            let step = self.relocate(caller, chunk, to).await?;
            moved.matched += step.matched;
            moved.updated += step.updated;
        }
        Ok(moved)
    }

    async fn relocate(&self, caller: &Caller, ids: &[Uuid], to: Move<'_>) -> Result<Moved, Error> {
        self.db
            .in_tenant(caller.tenant, async |mut tx| {
                groups::relocate(&mut tx, ids, to).await.map_err(Error::from)
            })
            .await
    }
}
