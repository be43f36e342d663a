//! What devices report of themselves, and what people write on them.

use rota_store::TenantTx;
use rota_types::{Caller, DeviceId};
use uuid::Uuid;

use crate::{
    Error, Inventory,
    model::{Device, Upload},
    store::devices,
};

/// A device under a lock, and whether it has been there before.
pub(super) struct Opened {
    pub(super) device: Device,
    pub(super) before: Option<Device>,
}

impl Opened {
    /// Writes the device, if it is new or has changed.
    pub(super) async fn save(self, tx: &mut TenantTx) -> Result<(), Error> {
        if self.before.as_ref() != Some(&self.device) {
            devices::save(tx, self.before.as_ref(), &self.device).await?;
        }
        Ok(())
    }
}

impl Inventory {
    /// Takes in what the calling device reports. A device that is not known yet, because the
    /// word of its acceptance is on its way, is noted with what it says.
    pub async fn report(&self, caller: &Caller, upload: Upload) -> Result<(), Error> {
        let id = caller.device().ok_or(Error::Forbidden)?;
        let upload = upload.check()?;
        self.db
            .in_tenant(caller.tenant, async |mut tx| {
                let mut opened = self.open(&mut tx, id).await?;
                let now = self.clock.now();
                opened.device.upload(&upload, self.config.max_device_attributes, now)?;
                opened.save(&mut tx).await
            })
            .await
    }

    /// Forgets what a device reported. That it is not there is no error.
    pub async fn clear(&self, caller: &Caller, id: DeviceId) -> Result<(), Error> {
        self.db
            .in_tenant(caller.tenant, async |mut tx| {
                let Some(before) = devices::lock(&mut tx, id).await? else { return Ok(()) };
                let mut device = before.clone();
                device.clear(self.clock.now());
                Opened { device, before: Some(before) }.save(&mut tx).await
            })
            .await
    }

    /// Changes a device's tags; with `if_match`, only if the tags still have that `ETag`.
    pub async fn tag(
        &self,
        caller: &Caller,
        id: DeviceId,
        upload: Upload,
        if_match: Option<&str>,
    ) -> Result<(), Error> {
        let upload = upload.check()?;
        self.db
            .in_tenant(caller.tenant, async |mut tx| {
                let before = devices::lock(&mut tx, id).await?.ok_or(Error::NoDevice)?;
                if let Some(wanted) = if_match
                    && before.tags_etag.as_ref().map(Uuid::to_string).as_deref() != Some(wanted)
                {
                    return Err(Error::TagsChanged);
                }
                let mut device = before.clone();
                device.tag(&upload, self.config.max_device_tags, self.clock.now())?;
                Opened { device, before: Some(before) }.save(&mut tx).await
            })
            .await
    }

    /// Locks a device, or notes a new one. Refused for one that was removed.
    pub(super) async fn open(&self, tx: &mut TenantTx, id: DeviceId) -> Result<Opened, Error> {
        if let Some(device) = devices::lock(tx, id).await? {
            return Ok(Opened { before: Some(device.clone()), device });
        }
        let now = self.clock.now();
        let claimed = devices::claim(tx, id, now).await?;
        // Only now is it certain: a removal that ran at the same time has been waited for.
        if devices::is_decommissioned(tx, id).await? {
            return Err(Error::Decommissioned);
        }
        if claimed {
            return Ok(Opened { device: Device::unknown(id, now), before: None });
        }
        match devices::lock(tx, id).await? {
            Some(device) => Ok(Opened { before: Some(device.clone()), device }),
            None => Err(Error::Decommissioned),
        }
    }
}
