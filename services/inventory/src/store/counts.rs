//! How many devices have something, from the counts: lists without counting.

use rota_store::TenantTx;

use crate::model::{Range, Scope, text_of};

/// An attribute and how many devices have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) devices: i64,
}

/// How many devices count for `item`.
pub(crate) async fn devices(tx: &mut TenantTx, item: &[u8]) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(devices), 0)::bigint as "devices!"
           from inventory.counts where item = $1"#,
        item,
    )
    .fetch_one(&mut **tx)
    .await
}

/// The values within `range` that devices are counted by, with the counts.
pub(crate) async fn values(
    tx: &mut TenantTx,
    range: &Range,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select item, sum(devices)::bigint as "devices!" from inventory.counts
           where item >= $1 and item < $2 group by item having sum(devices) > 0 order by item"#,
        &range.from,
        &range.to,
    )
    .fetch_all(&mut **tx)
    .await?;
    let value = |item: &[u8]| text_of(item).unwrap_or_default().to_owned();
    Ok(rows.into_iter().map(|row| (value(&row.item), row.devices)).collect())
}

/// The attributes that most devices have, at most `limit`.
pub(crate) async fn attributes(tx: &mut TenantTx, limit: i64) -> Result<Vec<Counted>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select scope as "scope!", name as "name!", sum(devices)::bigint as "devices!"
           from inventory.counts where name is not null
           group by scope, name having sum(devices) > 0
           order by 3 desc, scope, name limit $1"#,
        limit,
    )
    .fetch_all(&mut **tx)
    .await?;
    let counted = rows.into_iter().filter_map(|row| {
        let scope = Scope::from_number(row.scope)?;
        Some(Counted { scope, name: row.name, devices: row.devices })
    });
    Ok(counted.collect())
}
