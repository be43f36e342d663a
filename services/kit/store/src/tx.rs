//! The two kinds of transactions: of one tenant, and of the platform.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, PoisonError},
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
#[must_use = "dropped, it is rolled back"]
pub struct TenantTx {
    /// Empty only once it is being consumed.
    inner: Option<Inner>,
    tenant: TenantId,
    home: Home,
}

/// A transaction on tables that belong to no tenant; row security hides the others from it.
#[derive(Debug)]
#[must_use = "dropped, it is rolled back"]
pub struct PlatformTx(Inner);

#[derive(Debug)]
pub(crate) struct Inner {
    tx: Transaction<'static, Postgres>,
    outbox: Arc<Notify>,
    has_events: bool,
}

/// Where a transaction that is neither committed nor rolled back goes when it is dropped: to
/// whoever lent it out, or nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Home(Option<Arc<Mutex<Option<Inner>>>>);

impl Home {
    /// The transaction, if it has come home.
    pub(crate) fn take(&self) -> Option<Inner> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Inner {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await?;
        if self.has_events {
            self.outbox.notify_one();
        }
        Ok(())
    }
}

/// Why a [`TenantTx`] always has its transaction: both ways to consume it take it whole.
const PRESENT: &str = "a transaction is there until it is committed or rolled back";

impl TenantTx {
    pub(crate) fn new(
        tx: Transaction<'static, Postgres>,
        tenant: TenantId,
        outbox: Arc<Notify>,
    ) -> Self {
        let inner = Some(Inner { tx, outbox, has_events: false });
        Self { inner, tenant, home: Home::default() }
    }

    /// Lends the transaction out: dropped, it comes home instead of being rolled back.
    pub(crate) fn with_home(mut self) -> (Self, Home) {
        let home = Home(Some(Arc::default()));
        self.home = home.clone();
        (self, home)
    }

    /// Whose rows the transaction sees.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Commits; events that were appended are published from now on.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.inner.take().expect(PRESENT).commit().await
    }

    /// Rolls back. Dropping does the same, only later.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.inner.take().expect(PRESENT).tx.rollback().await
    }

    pub(crate) fn note_event(&mut self) {
        self.inner.as_mut().expect(PRESENT).has_events = true;
    }
}

impl Drop for TenantTx {
    fn drop(&mut self) {
        if let Some(home) = &self.home.0 {
            *home.lock().unwrap_or_else(PoisonError::into_inner) = self.inner.take();
        }
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
        Ok(TenantTx { inner: Some(self.0), tenant, home: Home::default() })
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
        &self.inner.as_ref().expect(PRESENT).tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner.as_mut().expect(PRESENT).tx
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
