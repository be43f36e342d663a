//! Tenants, and the first of them.

use rota_store::{PlatformTx, TenantTx};
use rota_trust::Outlives;
use rota_types::{Page, TenantId, TokenId};
use uuid::Uuid;

use super::{
    Store,
    rows::TenantRow,
    sessions,
    users::{self, NewUser},
};
use crate::{
    error::Error,
    model::{Tenant, TenantToken, User},
};

/// Whom a tenant token names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) tenant: TenantId,
    pub(crate) suspended: bool,
    /// Devices' tokens carry it: those with a smaller one are refused.
    pub(crate) device_epoch: i64,
    /// The token names nobody, and the default tenant takes the device.
    pub(crate) defaulted: bool,
}

impl Store {
    /// The tenant with this token, or else the default one.
    pub(crate) async fn resolve(&self, token: &TenantToken) -> Result<Option<Resolved>, Error> {
        let row = sqlx::query!(
            "select id, suspended, device_epoch, token_hash <> $1 as \"defaulted!\"
             from accounts.tenants
             where token_hash = $1 or is_default
             order by token_hash <> $1
             limit 1",
            &token.hash()[..],
        )
        .fetch_optional(self.db.hot())
        .await?;
        Ok(row.map(|row| Resolved {
            tenant: TenantId(row.id),
            suspended: row.suspended,
            device_epoch: row.device_epoch,
            defaulted: row.defaulted,
        }))
    }

    /// Adds a tenant.
    pub(crate) async fn add_tenant(&self, tenant: &Tenant) -> Result<(), Error> {
        let mut tx = self.db.platform().await?;
        insert(&mut tx, tenant, Standing::Ordinary).await?;
        Ok(tx.commit().await?)
    }

    pub(crate) async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, Error> {
        let mut tx = self.db.platform().await?;
        let row = sqlx::query_as!(
            TenantRow,
            "select id, name, token, suspended, created_at from accounts.tenants where id = $1",
            id.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(row.map(Tenant::from))
    }

    /// One page of tenants, the oldest first.
    pub(crate) async fn tenants(&self, page: Page) -> Result<Vec<Tenant>, Error> {
        let mut tx = self.db.platform().await?;
        let rows = sqlx::query_as!(
            TenantRow,
            "select id, name, token, suspended, created_at from accounts.tenants
             order by created_at, id offset $1 limit $2",
            page.offset(),
            page.limit(),
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(rows.into_iter().map(Tenant::from).collect())
    }

    /// Suspends a tenant, which ends everybody's sign-in and the tokens of all its devices, or
    /// lets it go on.
    pub(crate) async fn set_suspended(
        &self,
        id: TenantId,
        suspended: bool,
    ) -> Result<Option<Tenant>, Error> {
        let mut tx = self.db.tenant(id).await?;
        let row = sqlx::query_as!(
            TenantRow,
            "update accounts.tenants set suspended = $2 where id = $1
             returning id, name, token, suspended, created_at",
            id.uuid(),
            suspended,
        )
        .fetch_optional(&mut *tx)
        .await?;
        if suspended {
            sessions::end_all(&mut tx).await?;
            end_device_tokens(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(row.map(Tenant::from))
    }

    /// The default tenant's id, and whether anybody is in it.
    pub(crate) async fn default_tenant(&self) -> Result<Option<(TenantId, bool)>, Error> {
        let mut tx = self.db.platform().await?;
        let id = sqlx::query_scalar!("select id from accounts.tenants where is_default")
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id.map(TenantId) else { return Ok(None) };
        let mut tx = tx.enter(id).await?;
        let inhabited = sqlx::query_scalar!(
            "select exists (select from accounts.users where tenant_id = $1) as \"inhabited!\"",
            id.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(Some((id, inhabited)))
    }

    /// Makes the default tenant and its first person, unless they are there. Of replicas that
    /// do so at once one acts. Returns the tenant, and whether the person was made by this
    /// call.
    pub(crate) async fn bootstrap(
        &self,
        tenant: &Tenant,
        first: NewUser,
    ) -> Result<(TenantId, bool), Error> {
        let mut tx = self.db.platform().await?;
        sqlx::query("select pg_advisory_xact_lock(hashtextextended('rota.accounts.bootstrap', 0))")
            .execute(&mut *tx)
            .await?;
        let present = sqlx::query_scalar!("select id from accounts.tenants where is_default")
            .fetch_optional(&mut *tx)
            .await?;
        let id = if let Some(id) = present {
            TenantId(id)
        } else {
            insert(&mut tx, tenant, Standing::Default).await?;
            tenant.id
        };
        let mut tx = tx.enter(id).await?;
        let inhabited = sqlx::query_scalar!(
            "select exists (select from accounts.users where tenant_id = $1) as \"inhabited!\"",
            id.uuid(),
        )
        .fetch_one(&mut *tx)
        .await?;
        if !inhabited {
            let user = User { tenant: id, ..first.user };
            users::insert(&mut tx, &NewUser { user, ..first }).await?;
        }
        tx.commit().await?;
        Ok((id, !inhabited))
    }
}

/// Ends the tokens of a tenant's devices, at every gateway. How long those live is another
/// service's business, so that this is never forgotten: one row for each tenant that ever was
/// suspended.
async fn end_device_tokens(tx: &mut TenantTx) -> Result<(), Error> {
    let tenant = tx.tenant();
    let epoch = sqlx::query_scalar!(
        "update accounts.tenants set device_epoch = device_epoch + 1 where id = $1
         returning device_epoch",
        tenant.uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(epoch) = epoch else { return Ok(()) };
    rota_trust::revoke(tx, TokenId(tenant.uuid()), epoch, Outlives::Forever).await?;
    Ok(())
}

/// What a new tenant is to those devices that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Ordinary,
    Default,
}

async fn insert(tx: &mut PlatformTx, tenant: &Tenant, standing: Standing) -> Result<(), Error> {
    let id: Uuid = tenant.id.uuid();
    sqlx::query!(
        "insert into accounts.tenants
             (id, name, is_default, token, token_hash, suspended, created_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        id,
        tenant.name,
        standing == Standing::Default,
        tenant.token.as_str(),
        &tenant.token.hash()[..],
        tenant.suspended,
        tenant.created,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
