//! Lists of devices, by page.

use rota_store::TenantTx;
use rota_types::{DeviceId, Page, TenantId};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    Store,
    rows::{self, DeviceRow},
};
use crate::{
    error::Error,
    model::{Device, DeviceStatus},
};

/// Which devices are meant. An empty list stands for all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) statuses: Vec<DeviceStatus>,
    pub(crate) ids: Option<Vec<DeviceId>>,
}

impl Store {
    /// One page of devices by status and id, and whether there are more after it.
    pub(crate) async fn list(
        &self,
        tenant: TenantId,
        selection: &Selection,
        page: Page,
    ) -> Result<(Vec<Device>, bool), Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let mut devices = page_of(&mut tx, selection, page.offset(), page.limit() + 1).await?;
        let size = usize::try_from(page.size()).unwrap_or(usize::MAX);
        let more = devices.len() > size;
        devices.truncate(size);
        Ok((rows::with_auth_sets(&mut tx, devices).await?, more))
    }

    pub(crate) async fn count(
        &self,
        tenant: TenantId,
        statuses: &[DeviceStatus],
    ) -> Result<i64, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let words: Vec<String> = statuses.iter().map(|status| status.word().to_owned()).collect();
        let count = sqlx::query_scalar!(
            "select count(*) from deviceauth.devices
             where tenant_id = $1 and (cardinality($2::text[]) = 0 or status = any($2))",
            tenant.uuid(),
            &words,
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok(count.unwrap_or_default())
    }

    pub(crate) async fn device(
        &self,
        tenant: TenantId,
        device: DeviceId,
    ) -> Result<Option<Device>, Error> {
        let mut tx = self.db.tenant(tenant).await?;
        let row = sqlx::query_as!(
            DeviceRow,
            r#"select id, identity_data as "identity_data: _", status, decommissioning, revision,
                      created_at, updated_at, check_in_at, first_accepted_at
               from deviceauth.devices
               where tenant_id = $1 and id = $2"#,
            tenant.uuid(),
            device.uuid(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        Ok(rows::with_auth_sets(&mut tx, row.into_iter().collect()).await?.pop())
    }
}

/// Finds the page's ids in the index alone, and reads the rows of those that are shown.
async fn page_of(
    tx: &mut TenantTx,
    selection: &Selection,
    offset: i64,
    limit: i64,
) -> Result<Vec<DeviceRow>, Error> {
    let tenant = tx.tenant().uuid();
    let mut query = QueryBuilder::<Postgres>::new(
        "select d.id, d.identity_data, d.status, d.decommissioning, d.revision, d.created_at,
                d.updated_at, d.check_in_at, d.first_accepted_at
         from (select id from deviceauth.devices where tenant_id = ",
    );
    query.push_bind(tenant);
    match selection.statuses.as_slice() {
        [] => {}
        [status] => {
            query.push(" and status = ").push_bind(status.word());
        }
        statuses => {
            let words: Vec<_> = statuses.iter().map(|status| status.word()).collect();
            query.push(" and status = any(").push_bind(words).push(")");
        }
    }
    if let Some(ids) = &selection.ids {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        query.push(" and id = any(").push_bind(ids).push(")");
    }
    query.push(" order by status, id limit ").push_bind(limit);
    query.push(" offset ").push_bind(offset);
    query.push(") page join deviceauth.devices d on d.id = page.id and d.tenant_id = ");
    query.push_bind(tenant).push(" order by d.status, d.id");
    Ok(query.build_query_as().fetch_all(&mut **tx).await?)
}
