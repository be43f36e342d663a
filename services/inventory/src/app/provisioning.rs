//! Devices come and go by deviceauth's word.

use rota_types::{Caller, DeviceId};

use crate::{Error, Inventory, model::Provision, store::devices};

impl Inventory {
    /// Takes in deviceauth's word on a device; one that is older than what is known, or that
    /// comes after the device was removed, changes nothing.
    pub async fn provision(
        &self,
        caller: &Caller,
        id: DeviceId,
        word: Provision,
    ) -> Result<(), Error> {
        let provisioned = self
            .db
            .in_tenant(caller.tenant, async |mut tx| {
                let mut opened = self.open(&mut tx, id).await?;
                opened.device.provision(word.clone(), self.clock.now());
                opened.save(&mut tx).await
            })
            .await;
        match provisioned {
            Err(Error::Decommissioned) => Ok(()),
            other => other,
        }
    }

    /// Removes a device for good: no later word brings it back.
    pub async fn remove(&self, caller: &Caller, id: DeviceId) -> Result<(), Error> {
        self.db
            .in_tenant(caller.tenant, async |mut tx| {
                // A device that is not there is claimed, so that one who notes it at this
                // moment is waited for, or waits.
                if devices::claim(&mut tx, id, self.clock.now()).await? {
                    return devices::remove(&mut tx, id, None).await.map_err(Error::from);
                }
                let device = devices::lock(&mut tx, id).await?;
                devices::remove(&mut tx, id, device.as_ref()).await.map_err(Error::from)
            })
            .await
    }
}
