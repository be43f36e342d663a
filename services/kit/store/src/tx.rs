//! The two kinds of transactions: of one tenant, and of the platform.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use rota_types::TenantId;
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::Notify;

/// A transaction that sees and writes one tenant's rows. Dropped without
/// [`commit`](Self::commit) it is rolled back.
///
/// It is an executor as `&mut *tx`:
///
/// ```ignore
/// let mut tx = db.tenant(caller.tenant).await?;
/// sqlx::query!("delete from deployments.artifacts where id = $1", id).execute(&mut *tx).await?;
/// outbox::append(&mut tx, &Origin::from(caller), &deleted).await?;
/// tx.commit().await?;
/// ```
#[derive(Debug)]
pub struct TenantTx {
    inner: Inner,
    tenant: TenantId,
}

/// A transaction on tables that belong to no tenant; row security hides the others from it.
#[derive(Debug)]
pub struct PlatformTx(Inner);

#[derive(Debug)]
struct Inner {
    tx: Transaction<'static, Postgres>,
    outbox: Arc<Notify>,
    has_events: bool,
}

impl Inner {
    async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await?;
        if self.has_events {
            self.outbox.notify_one();
        }
        Ok(())
    }
}

impl TenantTx {
    pub(crate) fn new(
        tx: Transaction<'static, Postgres>,
        tenant: TenantId,
        outbox: Arc<Notify>,
    ) -> Self {
        Self { inner: Inner { tx, outbox, has_events: false }, tenant }
    }

    /// Whose rows the transaction sees.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Commits; events that were appended are published from now on.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }

    /// Rolls back. Dropping does the same, only later.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.inner.tx.rollback().await
    }

    pub(crate) fn note_event(&mut self) {
        self.inner.has_events = true;
    }
}

impl PlatformTx {
    pub(crate) fn new(tx: Transaction<'static, Postgres>, outbox: Arc<Notify>) -> Self {
        Self(Inner { tx, outbox, has_events: false })
    }

    /// Turns to the rows of one tenant: for what touches both kinds of tables, such as
    /// creating a tenant with its first user. Platform tables stay within reach.
    pub async fn enter(mut self, tenant: TenantId) -> Result<TenantTx, sqlx::Error> {
        sqlx::query("select set_config('rota.tenant_id', $1, true)")
            .bind(tenant.to_string())
            .execute(&mut *self)
            .await?;
        Ok(TenantTx { inner: self.0, tenant })
    }

    /// Commits; events that were appended are published from now on.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.0.commit().await
    }

    /// Rolls back. Dropping does the same, only later.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.0.tx.rollback().await
    }

    pub(crate) fn note_event(&mut self) {
        self.0.has_events = true;
    }
}

impl Deref for TenantTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner.tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner.tx
    }
}

impl Deref for PlatformTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0.tx
    }
}

impl DerefMut for PlatformTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0.tx
    }
}
