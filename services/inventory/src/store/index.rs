//! What the index and the counts must change when devices do.

use std::collections::BTreeMap;

use rota_store::TenantTx;
use rota_types::DeviceId;
use uuid::Uuid;

use crate::model::{Counted, Device, Term, TermPlace};

/// How many rows a count is spread over.
const SHARDS: u8 = 16;

/// Entries that go and come, and what devices count for no more or newly.
#[derive(Debug, Default)]
pub(super) struct Changes {
    gone: Vec<(Term, Uuid)>,
    come: Vec<(Term, TermPlace, Uuid)>,
    counts: BTreeMap<(Counted, i16), i64>,
}

impl Changes {
    /// What follows when a device becomes another: `None` is a device that is not there.
    pub(super) fn between(before: Option<&Device>, after: Option<&Device>) -> Self {
        let mut changes = Self::default();
        let Some(id) = before.or(after).map(|device| device.id) else { return changes };
        let old = before.map(Device::terms).unwrap_or_default();
        let new = after.map(Device::terms).unwrap_or_default();
        for term in old.keys().filter(|term| !new.contains_key(term)) {
            changes.remove(id, term.clone());
        }
        for (term, place) in new {
            if old.get(&term) != Some(&place) {
                changes.add(id, term, place);
            }
        }
        let old = before.map(Device::counted).unwrap_or_default();
        let new = after.map(Device::counted).unwrap_or_default();
        for counted in old.difference(&new) {
            changes.count(id, counted.clone(), -1);
        }
        for counted in new.difference(&old) {
            changes.count(id, counted.clone(), 1);
        }
        changes
    }

    /// The device has the entry no more.
    pub(super) fn remove(&mut self, device: DeviceId, term: Term) {
        self.gone.push((term, device.uuid()));
    }

    /// The device has the entry.
    pub(super) fn add(&mut self, device: DeviceId, term: Term, place: TermPlace) {
        self.come.push((term, place, device.uuid()));
    }

    /// The device counts for something that it did not count for, or the other way round.
    pub(super) fn count(&mut self, device: DeviceId, counted: Counted, by: i64) {
        let shard = device.uuid().as_bytes()[15] % SHARDS;
        *self.counts.entry((counted, i16::from(shard))).or_default() += by;
    }

    /// Writes the changes. The transaction holds the rows of the devices.
    pub(super) async fn write(self, tx: &mut TenantTx) -> Result<(), sqlx::Error> {
        remove_terms(tx, self.gone).await?;
        add_terms(tx, self.come).await?;
        let counts = self.counts.into_iter().filter(|(_, by)| *by != 0).collect();
        change_counts(tx, counts).await
    }
}

async fn remove_terms(tx: &mut TenantTx, gone: Vec<(Term, Uuid)>) -> Result<(), sqlx::Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let (terms, devices): (Vec<_>, Vec<_>) =
        gone.into_iter().map(|(Term(term), device)| (term, device)).unzip();
    sqlx::query!(
        "delete from inventory.terms t
         using unnest($1::bytea[], $2::uuid[]) as gone (term, device_id)
         where t.term = gone.term and t.device_id = gone.device_id",
        &terms,
        &devices,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn add_terms(
    tx: &mut TenantTx,
    come: Vec<(Term, TermPlace, Uuid)>,
) -> Result<(), sqlx::Error> {
    if come.is_empty() {
        return Ok(());
    }
    let least: Vec<_> = come.iter().map(|(_, place, _)| place.least).collect();
    let greatest: Vec<_> = come.iter().map(|(_, place, _)| place.greatest).collect();
    let (terms, devices): (Vec<_>, Vec<_>) =
        come.into_iter().map(|(Term(term), _, device)| (term, device)).unzip();
    sqlx::query!(
        "insert into inventory.terms (tenant_id, term, device_id, least, greatest)
         select $1, come.* from unnest($2::bytea[], $3::uuid[], $4::boolean[], $5::boolean[])
             as come (term, device_id, least, greatest)
         on conflict (tenant_id, term, device_id)
         do update set least = excluded.least, greatest = excluded.greatest",
        tx.tenant().uuid(),
        &terms,
        &devices,
        &least,
        &greatest,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn change_counts(
    tx: &mut TenantTx,
    counts: Vec<((Counted, i16), i64)>,
) -> Result<(), sqlx::Error> {
    if counts.is_empty() {
        return Ok(());
    }
    let fewer = counts.iter().any(|(_, by)| *by < 0);
    let changes: Vec<_> = counts.iter().map(|(_, by)| *by).collect();
    let shards: Vec<_> = counts.iter().map(|((_, shard), _)| *shard).collect();
    let (mut items, mut scopes, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for ((Counted { item, attribute }, _), _) in counts {
        items.push(item);
        let (scope, name) = attribute.unzip();
        scopes.push(scope.map(|scope| i16::from(scope.number())));
        names.push(name);
    }
    sqlx::query!(
        "insert into inventory.counts as c (tenant_id, item, shard, devices, scope, name)
         select $1, by.* from unnest($2::bytea[], $3::smallint[], $4::bigint[], $5::smallint[],
                                     $6::text[]) as by (item, shard, devices, scope, name)
         order by by.item, by.shard
         on conflict (tenant_id, item, shard) do update set devices = c.devices + excluded.devices",
        tx.tenant().uuid(),
        &items,
        &shards,
        &changes,
        &scopes as &[Option<i16>],
        &names as &[Option<String>],
    )
    .execute(&mut **tx)
    .await?;
    if fewer {
        sqlx::query!(
            "delete from inventory.counts c
             using unnest($1::bytea[], $2::smallint[]) as touched (item, shard)
             where c.item = touched.item and c.shard = touched.shard and c.devices = 0",
            &items,
            &shards,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
