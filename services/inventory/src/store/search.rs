//! Search: how many devices match, and which stand on a page.
//!
//! Both read the index alone. The page of a list that is sorted by one attribute is read off
//! the index in order, from the end that is nearer; devices without the attribute, which the
//! index does not have there, are a part of the list of their own.

use std::cmp::Ordering;

use rota_store::TenantTx;
use rota_types::Page;
use sqlx::Executor;
use uuid::Uuid;

use super::{
    counts, devices,
    page::Slice,
    sql::{self, Query},
};
use crate::model::{
    Asked, AttributeKey, Condition, Counted, Device, Edge, Range, Set, SortKey, Sorting, Term,
};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The page's devices, in order.
    pub(crate) ids: Vec<Uuid>,
    /// How many devices match.
    pub(crate) total: i64,
}

/// How long one statement of a search may take. `plan_cache_mode` matters because what is
/// quickest depends on the values; `work_mem` holds the hash tables of a million devices.
const SETTINGS: &str = "set local statement_timeout = '5s'; set local jit = off; \
    set local work_mem = '64MB'; set local plan_cache_mode = force_custom_plan";

/// Finds the devices on a page. At most `in_memory` of them are sorted by what they are, and
/// not by the index.
pub(crate) async fn find(
    tx: &mut TenantTx,
    asked: &Asked,
    page: Page,
    in_memory: i64,
) -> Result<Found, sqlx::Error> {
    (&mut **tx).execute(SETTINGS).await?;
    let conditions = &resolve(tx, &asked.conditions).await?;
    let total = total(tx, conditions).await?;
    let slice = Slice::of(page, total);
    if slice.is_empty() {
        return Ok(Found { ids: Vec::new(), total });
    }
    let ids = match &asked.order {
        Sorting::By(keys) => match keys.as_slice() {
            [] => by_id(tx, conditions, slice, false).await?,
            [SortKey { key, descending }] if key.is_universal() => {
                by_id(tx, conditions, slice, *descending).await?
            }
            keys => {
                if total <= in_memory
                    && let Some(sorted) = by_reading(tx, conditions, total, keys).await?
                {
                    return Ok(Found { ids: slice.cut(sorted), total });
                }
                match keys {
                    [key] => by_attribute(tx, conditions, slice, *key).await?,
                    keys => by_attributes(tx, conditions, slice, keys).await?,
                }
            }
        },
        Sorting::Relevance { words, condition } => {
            by_relevance(tx, conditions, slice, words, *condition).await?
        }
    };
    Ok(Found { ids: slice.in_order(ids), total })
}

/// How many values that an expression matches are then looked up as such.
const MAX_MATCHES: usize = 1000;

/// Tries regular expressions once, where few values match, instead of in every statement.
async fn resolve(
    tx: &mut TenantTx,
    conditions: &[Condition],
) -> Result<Vec<Condition>, sqlx::Error> {
    let mut resolved = conditions.to_vec();
    let sets = resolved.iter_mut().flat_map(|condition| match condition {
        Condition::Any(sets)
        | Condition::None(sets)
        | Condition::AnyOrLacking { any: sets, .. } => sets,
    });
    for set in sets {
        let Set::Matching { range, pattern } = &*set else { continue };
        let mut query = Query::new("");
        sql::push_matching(&mut query, range, pattern);
        query.push(" limit ").push_bind(i64::try_from(MAX_MATCHES + 1).unwrap_or(i64::MAX));
        let terms: Vec<Vec<u8>> =
            query.build_query_scalar().persistent(false).fetch_all(&mut **tx).await?;
        if terms.len() <= MAX_MATCHES {
            *set = Set::Terms(terms.into_iter().map(Term).collect());
        }
    }
    Ok(resolved)
}

/// How many devices meet all conditions: looked up where counts are kept, counted elsewhere.
async fn total(tx: &mut TenantTx, conditions: &[Condition]) -> Result<i64, sqlx::Error> {
    let kept = |sets: &[Set]| match sets {
        [Set::Terms(terms)] => match terms.as_slice() {
            [term] if term.is_counted() => Some(term.0.clone()),
            _ => None,
        },
        [Set::Edge { range, .. }] => range.attribute().map(AttributeKey::item),
        _ => None,
    };
    let all = Counted::devices();
    match conditions {
        [] => return counts::devices(tx, &all).await,
        [Condition::Any(sets)] => {
            if let Some(item) = kept(sets) {
                return counts::devices(tx, &item).await;
            }
        }
        [Condition::None(sets)] => {
            // What is negated is quicker counted itself.
            let all = counts::devices(tx, &all).await?;
            let item = kept(sets);
            let others = match item {
                Some(item) => counts::devices(tx, &item).await?,
                None => count(tx, &[Condition::Any(sets.clone())]).await?,
            };
            return Ok(all - others);
        }
        _ => {}
    }
    count(tx, conditions).await
}

async fn count(tx: &mut TenantTx, conditions: &[Condition]) -> Result<i64, sqlx::Error> {
    let mut query = Query::new("select count(*) from ");
    let met = sql::push_source(&mut query, conditions);
    sql::push_conditions(&mut query, conditions, met);
    query.build_query_scalar().persistent(false).fetch_one(&mut **tx).await
}

async fn by_id(
    tx: &mut TenantTx,
    conditions: &[Condition],
    slice: Slice,
    descending: bool,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut query = Query::new("select d.device_id from ");
    let met = sql::push_source(&mut query, conditions);
    sql::push_conditions(&mut query, conditions, met);
    query.push(" order by d.device_id");
    fetch(tx, query, descending != slice.from_end, slice.limit, slice.offset).await
}

/// All devices, sorted by what they are. `None`: they are too large for that.
async fn by_reading(
    tx: &mut TenantTx,
    conditions: &[Condition],
    total: i64,
    keys: &[SortKey],
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    let ids = by_id(tx, conditions, Slice::whole(total), false).await?;
    Ok(devices::find_all(tx, &ids).await?.map(|devices| sort(&devices, keys)))
}

/// Sorts devices as the index would.
fn sort(devices: &[Device], keys: &[SortKey]) -> Vec<Uuid> {
    let terms = |device: &Device| -> Vec<Option<Term>> {
        keys.iter().map(|key| device.edge_term(key.key, edge(key.descending))).collect()
    };
    let mut keyed: Vec<_> =
        devices.iter().map(|device| (terms(device), device.id.uuid())).collect();
    let directed = |order: Ordering, descending: bool| {
        if descending { order.reverse() } else { order }
    };
    keyed.sort_by(|(a, a_id), (b, b_id)| {
        let by_keys = keys.iter().zip(a.iter().zip(b));
        let by_keys = by_keys.map(|(key, (a, b))| directed(a.cmp(b), key.descending));
        let by_id = directed(a_id.cmp(b_id), keys.first().is_some_and(|key| key.descending));
        by_keys.fold(Ordering::Equal, Ordering::then).then(by_id)
    });
    keyed.into_iter().map(|(_, id)| id).collect()
}

/// A part of a list that is sorted by one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The devices without the attribute, by id.
    Lacking,
    /// Those with it, by value and id.
    Having,
}

async fn by_attribute(
    tx: &mut TenantTx,
    conditions: &[Condition],
    slice: Slice,
    SortKey { key, descending }: SortKey,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let backwards = descending != slice.from_end;
    if let Some(ids) = within_range(tx, conditions, slice, SortKey { key, descending }).await? {
        return Ok(ids);
    }
    let lacking =
        counts::devices(tx, &Counted::devices()).await? > counts::devices(tx, &key.item()).await?;
    let parts = match (lacking, backwards) {
        (false, _) => &[Part::Having][..],
        (true, false) => &[Part::Lacking, Part::Having],
        (true, true) => &[Part::Having, Part::Lacking],
    };
    let mut ids = Vec::new();
    let (mut skip, mut wanted) = (slice.offset, slice.limit);
    for (at, part) in parts.iter().enumerate() {
        let mut query = Query::new("select d.device_id from ");
        push_part(&mut query, conditions, *part, key, descending);
        query.push(match part {
            Part::Having if backwards => " order by d.term desc, d.device_id",
            Part::Having => " order by d.term, d.device_id",
            Part::Lacking => " order by d.device_id",
        });
        let rows = fetch(tx, query, backwards, wanted, skip).await?;
        wanted -= i64::try_from(rows.len()).unwrap_or(wanted);
        if wanted == 0 || at + 1 == parts.len() {
            ids.extend(rows);
            break;
        }
        // How far the page reaches into the next part depends on how long this one is, which
        // shows when the page began in it, and otherwise must be counted.
        if rows.is_empty() && skip > 0 {
            let mut query = Query::new("select count(*) from ");
            push_part(&mut query, conditions, *part, key, descending);
            let length: i64 =
                query.build_query_scalar().persistent(false).fetch_one(&mut **tx).await?;
            skip = (skip - length).max(0);
        } else {
            skip = 0;
        }
        ids.extend(rows);
    }
    Ok(ids)
}

/// By an attribute that has to lie within a range, too: the range is all that is gone through.
/// `None`: no condition says so.
async fn within_range(
    tx: &mut TenantTx,
    conditions: &[Condition],
    slice: Slice,
    SortKey { key, descending }: SortKey,
) -> Result<Option<Vec<Uuid>>, sqlx::Error> {
    let within = |condition: &Condition| match condition {
        Condition::Any(sets) => match sets.as_slice() {
            [Set::Edge { range, edge: at }] if *at == edge(descending) && range.is_of(key) => {
                Some(range.clone())
            }
            _ => None,
        },
        _ => None,
    };
    let found = conditions.iter().enumerate().find_map(|(at, one)| Some((at, within(one)?)));
    let Some((met, range)) = found else { return Ok(None) };
    let backwards = descending != slice.from_end;
    let mut query = Query::new("select d.device_id from inventory.terms d where ");
    sql::push_edge(&mut query, "d", &range, edge(descending));
    sql::push_conditions(&mut query, conditions, Some(met));
    query.push(if backwards {
        " order by d.term desc, d.device_id"
    } else {
        " order by d.term, d.device_id"
    });
    fetch(tx, query, backwards, slice.limit, slice.offset).await.map(Some)
}

fn push_part(
    query: &mut Query,
    conditions: &[Condition],
    part: Part,
    key: AttributeKey,
    descending: bool,
) {
    match part {
        Part::Having => {
            query.push("inventory.terms d where ");
            sql::push_edge(query, "d", &key.all(), edge(descending));
            sql::push_conditions(query, conditions, None);
        }
        Part::Lacking => {
            let met = sql::push_source(query, conditions);
            sql::push_conditions(query, conditions, met);
            query.push(" and ");
            sql::push_lacks(query, &key.all());
        }
    }
}

/// The value that stands for a list in an order.
fn edge(descending: bool) -> Edge {
    if descending { Edge::Greatest } else { Edge::Least }
}

/// By several attributes: everything that matches is joined and sorted.
async fn by_attributes(
    tx: &mut TenantTx,
    conditions: &[Condition],
    slice: Slice,
    keys: &[SortKey],
) -> Result<Vec<Uuid>, sqlx::Error> {
    // A range of terms cannot be looked up by device, so that a loop over devices would read
    // it again for each; how long it is, the planner guesses too low at times.
    (&mut **tx).execute("set local enable_nestloop = off").await?;
    let mut query = Query::new("select d.device_id from (select d.device_id from ");
    let met = sql::push_source(&mut query, conditions);
    sql::push_conditions(&mut query, conditions, met);
    query.push(") d");
    for (at, SortKey { key, descending }) in keys.iter().enumerate() {
        query.push(" left join (select t.device_id, t.term from inventory.terms t where ");
        sql::push_edge(&mut query, "t", &key.all(), edge(*descending));
        query.push(format_args!(") k{at} on k{at}.device_id = d.device_id"));
    }
    query.push(" order by ");
    for (at, SortKey { descending, .. }) in keys.iter().enumerate() {
        let direction =
            if *descending == slice.from_end { "nulls first" } else { "desc nulls last" };
        query.push(format_args!("k{at}.term {direction}, "));
    }
    query.push("d.device_id");
    let descending = keys.first().is_some_and(|key| key.descending);
    fetch(tx, query, descending != slice.from_end, slice.limit, slice.offset).await
}

/// By how many of the words a device has.
async fn by_relevance(
    tx: &mut TenantTx,
    conditions: &[Condition],
    slice: Slice,
    words: &[String],
    met: usize,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let mut query = Query::new(
        "select d.device_id from (select w.device_id, count(distinct w.word) as words from (",
    );
    sql::push_words(&mut query, words);
    query.push(") w group by w.device_id) d where true");
    sql::push_conditions(&mut query, conditions, Some(met));
    query.push(if slice.from_end { " order by d.words" } else { " order by d.words desc" });
    query.push(", d.device_id");
    fetch(tx, query, slice.from_end, slice.limit, slice.offset).await
}

/// Runs a query that ends in its last sort key, in this key's direction.
async fn fetch(
    tx: &mut TenantTx,
    mut query: Query,
    descending: bool,
    limit: i64,
    offset: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    query.push(if descending { " desc limit " } else { " limit " }).push_bind(limit);
    query.push(" offset ").push_bind(offset);
    query.build_query_scalar().persistent(false).fetch_all(&mut **tx).await
}

/// The devices of a status, by status.
pub(crate) async fn statuses(tx: &mut TenantTx) -> Result<Vec<(String, i64)>, sqlx::Error> {
    counts::values(tx, &Range::statuses()).await
}
