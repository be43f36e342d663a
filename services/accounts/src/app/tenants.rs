//! Tenants: found by their tokens, made by the platform's operator.

use rota_types::{Caller, Page, TenantId};

use super::NewPerson;
use crate::{
    Accounts,
    error::Error,
    model::{Tenant, TenantName, TenantToken},
    store::Resolved,
};

impl Accounts {
    /// The tenant that a device's token names; the default one where the token is empty,
    /// malformed or foreign.
    pub(crate) async fn resolve(&self, token: &TenantToken) -> Result<Resolved, Error> {
        self.0.store.resolve(token).await?.ok_or(Error::NoDefaultTenant)
    }

    /// The caller's tenant.
    pub(crate) async fn own_tenant(&self, caller: &Caller) -> Result<Tenant, Error> {
        self.0.store.tenant(caller.tenant).await?.ok_or(Error::TenantNotFound)
    }

    pub(crate) async fn create_tenant(&self, name: &TenantName) -> Result<Tenant, Error> {
        let tenant = self.new_tenant(name)?;
        self.0.store.add_tenant(&tenant).await?;
        tracing::info!(tenant = %tenant.id, "tenant created");
        Ok(tenant)
    }

    /// The tenant must be there.
    pub(crate) async fn existing_tenant(&self, id: TenantId) -> Result<Tenant, Error> {
        self.0.store.tenant(id).await?.ok_or(Error::TenantNotFound)
    }

    pub(crate) async fn tenants(&self, page: Page) -> Result<Vec<Tenant>, Error> {
        self.0.store.tenants(page).await
    }

    pub(crate) async fn set_suspended(
        &self,
        id: TenantId,
        suspended: bool,
    ) -> Result<Tenant, Error> {
        let tenant = self.0.store.set_suspended(id, suspended).await?;
        let tenant = tenant.ok_or(Error::TenantNotFound)?;
        tracing::info!(tenant = %id, suspended, "tenant's standing set");
        Ok(tenant)
    }

    /// Makes sure that there is a default tenant with somebody in it. Says whether this call
    /// added that person.
    pub(crate) async fn bootstrap(&self, first: NewPerson) -> Result<(TenantId, bool), Error> {
        if let Some((tenant, true)) = self.0.store.default_tenant().await? {
            return Ok((tenant, false));
        }
        let name = TenantName::parse("default")?;
        let tenant = self.new_tenant(&name)?;
        let first = self.prepare(tenant.id, first).await?;
        self.0.store.bootstrap(&tenant, first).await
    }

    fn new_tenant(&self, name: &TenantName) -> Result<Tenant, Error> {
        let (id, created) = (TenantId::mint(), self.0.clock.now());
        Ok(Tenant {
            id,
            name: name.as_str().to_owned(),
            token: TenantToken::mint(id, created).map_err(|_| Error::Random)?,
            suspended: false,
            created,
        })
    }
}
