//! One device, as people see it.

use rota_types::{Caller, DeviceId};

use crate::{Error, Inventory, model::Device, store::devices};

impl Inventory {
    /// A device.
    pub async fn device(&self, caller: &Caller, id: DeviceId) -> Result<Device, Error> {
        let mut tx = self.db.tenant(caller.tenant).await?;
        let device = devices::find(&mut tx, id).await?;
        tx.commit().await?;
        device.ok_or(Error::NoDevice)
    }
}
