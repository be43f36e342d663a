//! Conditions on devices as SQL: fragments of our own, and values that are bound.
//!
//! A query reads the index's rows as `d`, one a device. Conditions are checked on `d.device_id`
//! in one of two ways, which do not depend on good estimates:
//!
//! - A single term is looked up (`exists`): the primary key finds term and device at once.
//! - Everything else is read once into a hash table (`in`). `is true` keeps the planner from
//!   making a join of it, for which a wrong estimate costs a scan for every device.

use sqlx::{Postgres, QueryBuilder};

use crate::model::{Condition, Edge, Range, Set, Term};

pub(super) type Query = QueryBuilder<Postgres>;

/// Devices with an entry in the set: `select device_id …`.
fn push_set(query: &mut Query, set: &Set) {
    query.push("select m.device_id from inventory.terms m where ");
    push_entries(query, "m", set);
}

/// The set's entries of `alias`.
fn push_entries(query: &mut Query, alias: &'static str, set: &Set) {
    match set {
        Set::Terms(terms) => push_terms(query, alias, terms),
        Set::Range(range) => push_range(query, alias, range),
        Set::Edge { range, edge } => push_edge(query, alias, range, *edge),
        Set::Matching { range, pattern } => {
            query.push(alias).push(".term in (");
            push_matching(query, range, pattern);
            query.push(")");
        }
    }
}

/// The range's entries of `alias` that stand for their devices.
pub(super) fn push_edge(query: &mut Query, alias: &'static str, range: &Range, edge: Edge) {
    push_range(query, alias, range);
    query.push(" and ").push(alias).push(match edge {
        Edge::Least => ".least",
        Edge::Greatest => ".greatest",
    });
}

/// The terms within the range in whose text the expression is found: `select v.term …`.
pub(super) fn push_matching(query: &mut Query, range: &Range, pattern: &str) {
    // The expression is tried once a value, not once a device, which `offset 0` sees to. A
    // text begins after the key and the type, and 1024 bytes of it are indexed.
    query.push("select v.term from (select distinct t.term from inventory.terms t where ");
    push_range(query, "t", range);
    query.push(" offset 0) v where convert_from(substring(v.term from 10 for 1024), 'UTF8') ~ ");
    query.push_bind(pattern.to_owned());
}

fn push_terms(query: &mut Query, alias: &'static str, terms: &[Term]) {
    query.push(alias);
    if let [Term(term)] = terms {
        query.push(".term = ").push_bind(term.clone());
    } else {
        let terms: Vec<Vec<u8>> = terms.iter().map(|term| term.0.clone()).collect();
        query.push(".term = any(").push_bind(terms).push(")");
    }
}

/// The range's entries of `alias`.
pub(super) fn push_range(query: &mut Query, alias: &'static str, range: &Range) {
    query.push(alias).push(".term >= ").push_bind(range.from.clone());
    query.push(" and ").push(alias).push(".term < ").push_bind(range.to.clone());
}

/// Devices with an entry in any of the sets, some of them more than once.
fn push_sets(query: &mut Query, sets: &[Set]) {
    if sets.is_empty() {
        query.push("select null::uuid as device_id where false");
    }
    for (at, set) in sets.iter().enumerate() {
        if at > 0 {
            query.push(" union all ");
        }
        push_set(query, set);
    }
}

/// The set, if it has one entry a device.
fn single(condition: &Condition) -> Option<&Set> {
    let Condition::Any(sets) = condition else { return None };
    match sets.as_slice() {
        [set @ Set::Edge { .. }] => Some(set),
        [set @ Set::Terms(terms)] if terms.len() == 1 => Some(set),
        _ => None,
    }
}

/// The devices to check conditions on, as `d`: those of a condition that is met by itself, the
/// cheapest to go through, and all devices if there is none. Returns that condition's place.
pub(super) fn push_source(query: &mut Query, conditions: &[Condition]) -> Option<usize> {
    let place = |wanted: &dyn Fn(&Condition) -> bool| conditions.iter().position(wanted);
    let at = place(&|one| matches!(single(one), Some(Set::Terms(_))))
        .or_else(|| place(&|one| single(one).is_some()))
        .or_else(|| place(&|one| matches!(one, Condition::Any(_))));
    let condition = at.and_then(|at| conditions.get(at));
    match (condition, condition.and_then(single)) {
        (_, Some(set)) => {
            query.push("inventory.terms d where ");
            push_entries(query, "d", set);
        }
        (Some(Condition::Any(sets)), None) => {
            query.push("(select distinct s.device_id from (");
            push_sets(query, sets);
            query.push(") s) d where true");
        }
        _ => {
            query.push("inventory.terms d where ");
            push_terms(query, "d", &[Term::device()]);
        }
    }
    at
}

/// `and …` for each condition, but for the one at `met`.
pub(super) fn push_conditions(query: &mut Query, conditions: &[Condition], met: Option<usize>) {
    for (at, condition) in conditions.iter().enumerate() {
        if Some(at) != met {
            query.push(" and ");
            push_condition(query, condition);
        }
    }
}

fn push_condition(query: &mut Query, condition: &Condition) {
    match condition {
        Condition::Any(sets) => match sets.as_slice() {
            [Set::Terms(terms)] => push_exists(query, terms),
            sets => push_in(query, sets),
        },
        Condition::None(sets) => match sets.as_slice() {
            [Set::Terms(terms)] => {
                query.push("not ");
                push_exists(query, terms);
            }
            sets => {
                query.push("d.device_id not in (");
                push_sets(query, sets);
                query.push(")");
            }
        },
        Condition::AnyOrLacking { any, attribute } => {
            query.push("(");
            push_in(query, any);
            query.push(" or ");
            push_lacks(query, attribute);
            query.push(")");
        }
    }
}

/// The device has one of the terms.
fn push_exists(query: &mut Query, terms: &[Term]) {
    query.push("exists (select from inventory.terms e where ");
    push_terms(query, "e", terms);
    query.push(" and e.device_id = d.device_id)");
}

/// The device is in one of the sets.
fn push_in(query: &mut Query, sets: &[Set]) {
    query.push("(d.device_id in (");
    push_sets(query, sets);
    query.push(")) is true");
}

/// The device has no entry within the range.
pub(super) fn push_lacks(query: &mut Query, range: &Range) {
    query.push("d.device_id not in (");
    push_sets(query, &[Set::Range(range.clone())]);
    query.push(")");
}

/// Devices with a word, once for each word that they have: the word's number and the device.
pub(super) fn push_words(query: &mut Query, words: &[String]) {
    let mut separator = "";
    for (number, word) in words.iter().enumerate() {
        for range in Range::words(word) {
            query.push(separator).push("select ");
            query.push_bind(i32::try_from(number).unwrap_or(i32::MAX));
            query.push(" as word, m.device_id from inventory.terms m where ");
            push_range(query, "m", &range);
            separator = " union all ";
        }
    }
}
