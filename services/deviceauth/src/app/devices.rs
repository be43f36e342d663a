//! What people and services do with devices.

use rota_auth::DeviceKey;
use rota_types::{AuthSetId, Caller, DeviceId, Page};

use crate::{
    DeviceAuth,
    error::Error,
    model::{AuthSetStatus, Device, DeviceStatus, Identity, Refused},
    store::{Known, Scope, Selection},
};

/// A key that is announced before its device comes.
#[derive(Debug, Clone)]
pub(crate) struct NewPreauthorization {
    pub(crate) identity: Identity,
    pub(crate) key: DeviceKey,
    /// What becomes of it when the identity is known already.
    pub(crate) known: Known,
}

impl DeviceAuth {
    /// One page of devices, and whether there are more.
    pub(crate) async fn list_devices(
        &self,
        caller: &Caller,
        selection: &Selection,
        page: Page,
    ) -> Result<(Vec<Device>, bool), Error> {
        self.0.store.list(caller.tenant, selection, page).await
    }

    /// How many devices have one of the statuses; all of them where none is named.
    pub(crate) async fn count_devices(
        &self,
        caller: &Caller,
        statuses: &[DeviceStatus],
    ) -> Result<i64, Error> {
        self.0.store.count(caller.tenant, statuses).await
    }

    pub(crate) async fn device(&self, caller: &Caller, id: DeviceId) -> Result<Device, Error> {
        self.0.store.device(caller.tenant, id).await?.ok_or(Error::DeviceNotFound)
    }

    pub(crate) async fn preauthorize(
        &self,
        caller: &Caller,
        new: &NewPreauthorization,
    ) -> Result<DeviceId, Error> {
        let scope = self.scope(caller);
        let set = scope.new_auth_set(&new.key);
        self.0.store.preauthorize(&scope, &new.identity, &set, new.known).await
    }

    pub(crate) async fn auth_set_status(
        &self,
        caller: &Caller,
        device: DeviceId,
        auth_set: AuthSetId,
    ) -> Result<AuthSetStatus, Error> {
        let device = self.device(caller, device).await?;
        Ok(device.auth_set(auth_set).ok_or(Refused::UnknownAuthSet)?.status)
    }

    /// Decides about an auth set. What is decided like this already stays as it is.
    pub(crate) async fn set_auth_set_status(
        &self,
        caller: &Caller,
        device: DeviceId,
        auth_set: AuthSetId,
        wanted: AuthSetStatus,
    ) -> Result<(), Error> {
        let scope = self.scope(caller);
        let decide = |device: &mut Device| Ok(device.set_status(auth_set, wanted, scope.now)?);
        let changed = self.0.store.change(&scope, device, decide).await;
        match changed {
            Err(Error::Refused(Refused::UnknownAuthSet)) => {
                Err(self.elsewhere(&scope, auth_set).await?)
            }
            changed => changed.map(|_| ()),
        }
    }

    /// Forgets an auth set.
    pub(crate) async fn dismiss_auth_set(
        &self,
        caller: &Caller,
        device: DeviceId,
        auth_set: AuthSetId,
    ) -> Result<(), Error> {
        let scope = self.scope(caller);
        let decide = |device: &mut Device| Ok(Some(device.dismiss(auth_set, scope.now)?));
        self.0.store.change(&scope, device, decide).await?;
        Ok(())
    }

    /// Begins to remove a device everywhere: its token dies now, a job does the rest.
    pub(crate) async fn decommission(&self, caller: &Caller, id: DeviceId) -> Result<(), Error> {
        let scope = self.scope(caller);
        let decide = |device: &mut Device| Ok(device.decommission(scope.now));
        self.0.store.change(&scope, id, decide).await?;
        Ok(())
    }

    /// Ends the tokens of an auth set; the device may ask for a new one.
    pub(crate) async fn revoke_token(
        &self,
        caller: &Caller,
        auth_set: AuthSetId,
    ) -> Result<(), Error> {
        let scope = self.scope(caller);
        let owner = self.0.store.owner(&scope, auth_set).await?.ok_or(Error::TokenNotFound)?;
        let decide = |device: &mut Device| Ok(Some(device.revoke_tokens(auth_set)?));
        match self.0.store.change(&scope, owner, decide).await {
            Err(Error::Refused(Refused::UnknownAuthSet) | Error::DeviceNotFound) => {
                Err(Error::TokenNotFound)
            }
            revoked => revoked.map(|_| ()),
        }
    }

    /// The last step of a decommissioning. Done already: done.
    pub(crate) async fn delete_device(&self, caller: &Caller, id: DeviceId) -> Result<(), Error> {
        if self.0.store.forget(&self.scope(caller), id).await? {
            tracing::info!(tenant = %caller.tenant, device = %id, "device removed");
        }
        Ok(())
    }

    /// Why an auth set is not at the device where it was looked for.
    async fn elsewhere(&self, scope: &Scope, auth_set: AuthSetId) -> Result<Error, Error> {
        Ok(match self.0.store.owner(scope, auth_set).await? {
            Some(_) => Error::AuthSetOfAnother,
            None => Refused::UnknownAuthSet.into(),
        })
    }
}
