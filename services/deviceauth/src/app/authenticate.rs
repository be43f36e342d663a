//! A device asks for a token.

use chrono::TimeDelta;
use rota_auth::{DeviceClaims, DeviceKey, Machine};
use rota_types::{Actor, Caller, TenantId};

use super::{Tenant, key_hash};
use crate::{
    DeviceAuth,
    error::Error,
    model::{AuthRequest, AuthSetStatus, Refused},
    store::{Credential, Scope},
};

/// A check-in is written when the last one is this old.
const CHECK_IN: TimeDelta = TimeDelta::hours(1);

impl DeviceAuth {
    /// Checks what a device says of itself and gives it a token, if it may have one. The
    /// caller is nobody: the signature over `body` is the proof.
    pub(crate) async fn authenticate(
        &self,
        caller: &Caller,
        body: &[u8],
        signature: &str,
    ) -> Result<String, Error> {
        let request = AuthRequest::parse(body)?;
        let key = DeviceKey::from_pem(&request.public_key)?;
        if signature.is_empty() {
            return Err(Error::NoSignature);
        }
        key.verify(body, signature).map_err(|_| Error::Signature)?;
        let tenant = self.0.tenants.resolve(&request.tenant_token).await?;
        let hash = key_hash(&key.to_pem());
        let known = self.0.store.credential(tenant.id, request.identity.hash(), &hash).await?;
        let credential = match known {
            Some(credential) => credential,
            None => self.first_contact(caller, tenant.id, &request, &key).await?,
        };
        self.admit(caller, tenant, credential).await
    }

    async fn first_contact(
        &self,
        caller: &Caller,
        tenant: TenantId,
        request: &AuthRequest,
        key: &DeviceKey,
    ) -> Result<Credential, Error> {
        let scope = self.scope_of(caller, tenant, Actor::Anonymous);
        let set = scope.new_auth_set(key);
        let most = self.0.config.max_pending_devices;
        let contact = self.0.store.first_contact(&scope, &request.identity, &set, most).await?;
        tracing::info!(%tenant, device = %contact.device, auth_set = %contact.auth_set, "new key");
        Ok(contact)
    }

    /// Gives a token to whom one is due.
    async fn admit(
        &self,
        caller: &Caller,
        Tenant { id: tenant, epoch: tenant_epoch }: Tenant,
        credential: Credential,
    ) -> Result<String, Error> {
        if credential.decommissioning {
            return Err(Error::Unauthorized);
        }
        let epoch = match credential.status {
            AuthSetStatus::Pending | AuthSetStatus::Rejected => return Err(Error::Unauthorized),
            AuthSetStatus::Accepted => credential.epoch,
            AuthSetStatus::Preauthorized => self.activate(caller, tenant, credential).await?,
        };
        let now = self.0.clock.now();
        let machine = Machine {
            tenant,
            tenant_epoch,
            device: credential.device,
            auth_set: credential.auth_set,
            epoch: u64::try_from(epoch).unwrap_or_default(),
        };
        let claims = DeviceClaims::new(machine, now, self.0.config.token_lifetime());
        let token = self.0.trust.signing()?.mint_device(&claims);
        let due = credential.check_in.is_none_or(|last| now - last >= CHECK_IN);
        if due && let Err(error) = self.0.store.check_in(tenant, credential.device, now).await {
            // The token matters more than the time of its issue.
            tracing::warn!(%tenant, device = %credential.device, %error, "check-in not noted");
        }
        Ok(token)
    }

    /// Accepts a preauthorized auth set whose device has come. Returns its epoch.
    async fn activate(
        &self,
        caller: &Caller,
        tenant: TenantId,
        credential: Credential,
    ) -> Result<i64, Error> {
        let Credential { device, auth_set, .. } = credential;
        let scope = self.scope_of(caller, tenant, Actor::Device { id: device, auth_set });
        let Scope { now, .. } = scope;
        let decide = |device: &mut crate::model::Device| Ok(device.activate(auth_set, now)?);
        match self.0.store.change(&scope, device, decide).await {
            Ok(device) => match device.auth_set(auth_set) {
                Some(set) if set.status == AuthSetStatus::Accepted => Ok(set.epoch),
                _ => Err(Error::Unauthorized),
            },
            // To the device it is all the same.
            Err(
                Error::LimitReached
                | Error::DeviceNotFound
                | Error::Refused(Refused::UnknownAuthSet | Refused::Decommissioning),
            ) => Err(Error::Unauthorized),
            Err(error) => Err(error),
        }
    }
}
