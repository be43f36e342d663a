//! How many devices a tenant may accept.

use rota_types::Caller;

use crate::{DeviceAuth, error::Error};

impl DeviceAuth {
    /// The limit of the caller's tenant, in accepted devices; `None`: there is none.
    pub(crate) async fn device_limit(&self, caller: &Caller) -> Result<Option<i64>, Error> {
        self.0.store.limit(caller.tenant).await
    }

    /// Sets the limit or, with `None`, takes it away.
    pub(crate) async fn set_device_limit(
        &self,
        caller: &Caller,
        limit: Option<i64>,
    ) -> Result<(), Error> {
        self.0.store.set_limit(caller.tenant, limit).await
    }
}
