//! Static groups: a name at each of their devices, and no row of their own.

use rota_store::TenantTx;
use rota_types::{DeviceId, Page};
use uuid::Uuid;

use super::{counts, index::Changes, page::Slice};
use crate::model::{Counted, GroupName, Range, Status, Term, TermPlace, text_of};

/// How many devices were meant, and how many changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Devices that exist.
    pub matched: u64,
    /// Devices whose group changed.
    pub updated: u64,
}

/// The names of all groups, in order; or of those with a device of this status.
pub(crate) async fn list(
    tx: &mut TenantTx,
    status: Option<Status>,
) -> Result<Vec<String>, sqlx::Error> {
    let Some(status) = status else {
        let groups = counts::values(tx, &Range::groups()).await?;
        return Ok(groups.into_iter().map(|(name, _)| name).collect());
    };
    let range = Range::groups();
    let items = sqlx::query_scalar!(
        "select g.item from (select distinct item from inventory.counts
                             where item >= $1 and item < $2 and devices > 0) g
         where exists (select from inventory.terms m
                       join inventory.terms s on s.device_id = m.device_id and s.term = $3
                       where m.term = g.item)
         order by g.item",
        &range.from,
        &range.to,
        &Term::status(status).0,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(items.iter().filter_map(|item| text_of(item)).map(ToOwned::to_owned).collect())
}

/// How many devices the group has; it exists while it has any.
pub(crate) async fn size(tx: &mut TenantTx, group: &GroupName) -> Result<i64, sqlx::Error> {
    counts::devices(tx, &Term::group(group).0).await
}

/// A page of the group's devices, in the order of their ids; `total` is the group's size.
pub(crate) async fn devices(
    tx: &mut TenantTx,
    group: &GroupName,
    page: Page,
    total: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let slice = Slice::of(page, total);
    let term = Term::group(group).0;
    let (limit, offset) = (slice.limit, slice.offset);
    let ids = if slice.from_end {
        sqlx::query_scalar!(
            "select device_id from inventory.terms where term = $1
             order by device_id desc limit $2 offset $3",
            term,
            limit,
            offset,
        )
        .fetch_all(&mut **tx)
        .await?
    } else {
        sqlx::query_scalar!(
            "select device_id from inventory.terms where term = $1
             order by device_id limit $2 offset $3",
            term,
            limit,
            offset,
        )
        .fetch_all(&mut **tx)
        .await?
    };
    Ok(slice.in_order(ids))
}

/// Devices of the group, at most `limit`.
pub(crate) async fn some_devices(
    tx: &mut TenantTx,
    group: &GroupName,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select device_id from inventory.terms where term = $1 order by device_id limit $2",
        Term::group(group).0,
        limit,
    )
    .fetch_all(&mut **tx)
    .await
}

/// Where devices shall go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Move<'a> {
    /// Into the group, out of any other.
    Into(&'a GroupName),
    /// Out of the group, if they are in it.
    OutOf(&'a GroupName),
}

/// Moves devices.
pub(crate) async fn relocate(
    tx: &mut TenantTx,
    devices: &[Uuid],
    to: Move<'_>,
) -> Result<Moved, sqlx::Error> {
    let rows = sqlx::query!(
        "select id, group_name from inventory.devices where id = any($1) order by id for update",
        devices,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut moved = Moved { matched: rows.len() as u64, updated: 0 };
    let mut changes = Changes::default();
    let mut moving = Vec::new();
    for row in rows {
        let old = row.group_name.and_then(|name| GroupName::existing(name).ok());
        let new = match to {
            Move::Into(group) => Some(group),
            Move::OutOf(group) if old.as_ref() == Some(group) => None,
            Move::OutOf(_) => continue,
        };
        if old.as_ref() == new {
            continue;
        }
        change_group(&mut changes, row.id.into(), old.as_ref(), new);
        moving.push(row.id);
    }
    moved.updated = moving.len() as u64;
    let name = match to {
        Move::Into(group) => Some(group.as_str()),
        Move::OutOf(_) => None,
    };
    sqlx::query!("update inventory.devices set group_name = $2 where id = any($1)", &moving, name,)
        .execute(&mut **tx)
        .await?;
    changes.write(tx).await?;
    Ok(moved)
}

fn change_group(
    changes: &mut Changes,
    device: DeviceId,
    old: Option<&GroupName>,
    new: Option<&GroupName>,
) {
    // Names that differ in case alone share a word.
    let terms = |group: &GroupName| Term::of_group(group);
    let old_terms = old.map(terms).into_iter().flatten();
    let new_terms: Vec<_> = new.map(terms).into_iter().flatten().collect();
    for term in old_terms.filter(|term| !new_terms.contains(term)) {
        changes.remove(device, term);
    }
    for counted in old.map(Counted::of_group).into_iter().flatten() {
        changes.count(device, counted, -1);
    }
    for term in new_terms {
        changes.add(device, term, TermPlace::ONLY);
    }
    for counted in new.map(Counted::of_group).into_iter().flatten() {
        changes.count(device, counted, 1);
    }
}
