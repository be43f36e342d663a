//! The two languages of search: v1's query and v2's body.

use chrono::DateTime;
use rota_proto::inventory::v1 as wire;
use rota_rest::inventory as rest;
use rota_types::{MAX_PER_PAGE, Page};

use super::{
    inventory::{named, scope},
    values,
};
use crate::{
    error::Problem,
    extract::{Paging, Query},
};

/// The size of a page for which none is asked (server API, inventory v2 search).
const DEFAULT_PER_PAGE: u32 = 20;

/// The words of operators.
const OPERATORS: [(&str, wire::Operator); 11] = [
    ("$eq", wire::Operator::Eq),
    ("$ne", wire::Operator::Ne),
    ("$gt", wire::Operator::Gt),
    ("$gte", wire::Operator::Gte),
    ("$lt", wire::Operator::Lt),
    ("$lte", wire::Operator::Lte),
    ("$ltne", wire::Operator::Ltne),
    ("$in", wire::Operator::In),
    ("$nin", wire::Operator::Nin),
    ("$exists", wire::Operator::Exists),
    ("$regex", wire::Operator::Regex),
];

/// The words of orders; true is descending.
const ORDERS: [(&str, bool); 2] = [("asc", false), ("desc", true)];

/// The search that a v2 body asks for.
pub(crate) fn search(search: rest::Search) -> Result<wire::SearchRequest, Problem> {
    let or = |number: u32, default: u32| if number == 0 { default } else { number };
    let page = Page::new(or(search.page, 1), or(search.per_page, DEFAULT_PER_PAGE), MAX_PER_PAGE)?;
    Ok(wire::SearchRequest {
        page: page.number(),
        per_page: page.size(),
        device_ids: search.device_ids,
        text: search.text,
        predicates: search.filters.into_iter().map(predicate).collect::<Result<_, _>>()?,
        sort: search.sort.iter().map(criterion).collect::<Result<_, _>>()?,
        select: search.attributes.iter().map(select).collect::<Result<_, _>>()?,
    })
}

fn predicate(predicate: rest::Predicate) -> Result<wire::Predicate, Problem> {
    let attribute = named(&predicate.attribute)?;
    if predicate.operator.is_empty() {
        return Err(Problem::invalid("type: cannot be blank"));
    }
    let known = OPERATORS.iter().find(|(word, _)| *word == predicate.operator);
    let (_, operator) = known.ok_or_else(|| {
        Problem::invalid(format!("type: unknown operator {:?}", predicate.operator))
    })?;
    let value = values::to_wire(predicate.value.unwrap_or_default(), &attribute)?;
    fits(*operator, &value).map_err(|wanted| {
        Problem::invalid(format!("{attribute}: {} wants {wanted}", predicate.operator))
    })?;
    Ok(wire::Predicate {
        scope: scope(&predicate.scope)?.into(),
        attribute,
        operator: (*operator).into(),
        value: Some(value),
        alternatives: Vec::new(),
    })
}

/// Whether an operator can be applied to a value; otherwise what it wants.
fn fits(operator: wire::Operator, value: &wire::Value) -> Result<(), &'static str> {
    use wire::value::Kind;
    let fits = match (operator, value.kind.as_ref()) {
        (_, None) => false,
        (wire::Operator::In | wire::Operator::Nin, Some(kind)) => {
            matches!(kind, Kind::Texts(_) | Kind::Numbers(_))
        }
        (wire::Operator::Exists, Some(kind)) => matches!(kind, Kind::Flag(_)),
        (wire::Operator::Regex, Some(kind)) => matches!(kind, Kind::Text(_)),
        (_, Some(kind)) => matches!(kind, Kind::Text(_) | Kind::Number(_) | Kind::Flag(_)),
    };
    let wanted = match operator {
        wire::Operator::In | wire::Operator::Nin => "a list",
        wire::Operator::Exists => "true or false",
        wire::Operator::Regex => "a string",
        _ => "a string, a number or a boolean",
    };
    if fits { Ok(()) } else { Err(wanted) }
}

fn criterion(criterion: &rest::SortCriterion) -> Result<wire::SortCriterion, Problem> {
    Ok(wire::SortCriterion {
        scope: scope(&criterion.scope)?.into(),
        attribute: named(&criterion.attribute)?,
        descending: descending(&criterion.order)?,
    })
}

fn descending(order: &str) -> Result<bool, Problem> {
    let known = ORDERS.iter().find(|(word, _)| *word == order).map(|(_, descending)| *descending);
    known.ok_or_else(|| Problem::invalid(format!("unknown sort order {order:?}")))
}

fn select(attribute: &rest::SelectAttribute) -> Result<wire::SelectAttribute, Problem> {
    let name = named(&attribute.attribute)?;
    Ok(wire::SelectAttribute { scope: scope(&attribute.scope)?.into(), attribute: name })
}

/// The search that a v1 query asks for. Every parameter that means nothing else is a condition
/// on an attribute: `[scope/]name=[eq:]value`.
pub(crate) fn query(query: &Query, paging: &Paging) -> Result<wire::SearchRequest, Problem> {
    let mut request = wire::SearchRequest {
        page: paging.number(),
        per_page: paging.size(),
        ..wire::SearchRequest::default()
    };
    if let Some(sort) = query.first("sort") {
        request.sort.push(sort_query(sort)?);
    }
    if let Some(grouped) = query.flag("has_group")? {
        let exists = values::flag(grouped);
        request.predicates.push(group_predicate(wire::Operator::Exists, exists));
    }
    if let Some(group) = query.first("group") {
        request.predicates.push(group_predicate(wire::Operator::Eq, values::text(group)));
    }
    let reserved = ["page", "per_page", "sort", "has_group", "group"];
    let conditions = query.iter().filter(|(name, _)| !reserved.contains(name));
    for (name, value) in conditions {
        request.predicates.push(condition(name, value)?);
    }
    Ok(request)
}

fn group_predicate(operator: wire::Operator, value: wire::Value) -> wire::Predicate {
    wire::Predicate {
        scope: wire::Scope::System.into(),
        attribute: "group".to_owned(),
        operator: operator.into(),
        value: Some(value),
        alternatives: Vec::new(),
    }
}

/// `[scope/]name=[eq:]value`: the value is tried as a text, as a number and as a time.
fn condition(name: &str, value: &str) -> Result<wire::Predicate, Problem> {
    let (scope, attribute) = scoped(name)?;
    let value = value.strip_prefix("eq:").unwrap_or(value);
    let mut alternatives = Vec::new();
    if let Some(number) = value.parse().ok().filter(|number: &f64| number.is_finite()) {
        alternatives.push(values::number(number));
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(value) {
        let utc = time.to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        alternatives.push(values::text(&utc));
    }
    Ok(wire::Predicate {
        scope: scope.into(),
        attribute,
        operator: wire::Operator::Eq.into(),
        value: Some(values::text(value)),
        alternatives,
    })
}

/// `[scope/]name[:asc|desc]`; descending where nothing is said.
fn sort_query(sort: &str) -> Result<wire::SortCriterion, Problem> {
    let (name, order) = sort.rsplit_once(':').unwrap_or((sort, "desc"));
    let (scope, attribute) = scoped(name)?;
    Ok(wire::SortCriterion { scope: scope.into(), attribute, descending: descending(order)? })
}

/// `[scope/]name`; the device's own scope where none is said. A name may hold a slash, too.
fn scoped(name: &str) -> Result<(wire::Scope, String), Problem> {
    let split = name.split_once('/').and_then(|(word, rest)| Some((scope(word).ok()?, rest)));
    let (scope, name) = split.unwrap_or((wire::Scope::Inventory, name));
    Ok((scope, named(name)?))
}

/// The search for devices of which an attribute has one of several values.
pub(crate) fn devices_named(
    scope_word: &str,
    attribute: &str,
    names: Vec<String>,
) -> Result<wire::SearchRequest, Problem> {
    Ok(wire::SearchRequest {
        page: 1,
        per_page: MAX_PER_PAGE,
        predicates: vec![wire::Predicate {
            scope: scope(scope_word)?.into(),
            attribute: named(attribute)?,
            operator: wire::Operator::In.into(),
            value: Some(wire::Value {
                kind: Some(wire::value::Kind::Texts(wire::TextList { values: names })),
            }),
            alternatives: Vec::new(),
        }],
        select: vec![wire::SelectAttribute {
            scope: wire::Scope::Identity.into(),
            attribute: "status".to_owned(),
        }],
        ..wire::SearchRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use axum::extract::FromRequestParts;
    use serde_json::json;

    use super::*;

    fn read(body: &serde_json::Value) -> Result<wire::SearchRequest, Problem> {
        search(crate::lenient::from_slice(body.to_string().as_bytes())?)
    }

    #[test]
    fn a_search_is_paged_by_default() {
        let request = read(&json!({})).unwrap();
        assert_eq!((request.page, request.per_page), (1, 20));
        assert!(read(&json!({"per_page": 501})).is_err());
        assert!(read(&json!({"page": -1})).is_err());
    }

    #[test]
    fn conditions_need_all_their_parts() {
        let whole = json!({"scope": "inventory", "attribute": "mac", "type": "$eq", "value": "x"});
        assert!(read(&json!({"filters": [whole.clone()]})).is_ok());
        for missing in ["scope", "attribute", "type", "value"] {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(missing);
            assert!(read(&json!({"filters": [part]})).is_err(), "{missing}");
        }
    }

    #[test]
    fn operators_want_values_of_their_kind() {
        let accepted = |operator: &str, value: serde_json::Value| {
            let filter =
                json!({"scope": "tags", "attribute": "a", "type": operator, "value": value});
            read(&json!({"filters": [filter]})).is_ok()
        };
        for (word, _) in OPERATORS {
            let value = match word {
                "$in" | "$nin" => json!(["a"]),
                "$exists" => json!(true),
                _ => json!("a"),
            };
            assert!(accepted(word, value), "{word}");
        }
        assert!(accepted("$gt", json!(7)));
        assert!(accepted("$in", json!([])));
        assert!(!accepted("$in", json!("a")));
        assert!(!accepted("$eq", json!(["a"])));
        assert!(!accepted("$exists", json!("true")));
        assert!(!accepted("$regex", json!(1)));
        assert!(!accepted("$type", json!("a")));
        assert!(!accepted("eq", json!("a")));
    }

    async fn ask(text: &str) -> Result<wire::SearchRequest, Problem> {
        let request = axum::http::Request::get(format!("/devices?{text}")).body(()).unwrap();
        let mut parts = request.into_parts().0;
        query(&Query::parse(text), &Paging::from_request_parts(&mut parts, &()).await?)
    }

    #[tokio::test]
    async fn a_query_holds_conditions_sort_and_groups() {
        let request =
            ask("mac=eq:x&identity/serial=7&has_group=true&group=g&sort=system/created_ts:asc");
        let request = request.await.unwrap();
        let names: Vec<_> = request.predicates.iter().map(|p| p.attribute.as_str()).collect();
        assert_eq!(names, ["group", "group", "mac", "serial"]);
        assert_eq!(request.predicates[2].value, Some(values::text("x")));
        assert_eq!(request.predicates[3].scope, i32::from(wire::Scope::Identity));
        assert_eq!(request.predicates[3].alternatives, [values::number(7.0)]);
        assert!(!request.sort[0].descending);
        assert!(ask("sort=mac").await.unwrap().sort[0].descending);
        assert!(ask("sort=mac:up").await.is_err());
        assert!(ask("has_group=maybe").await.is_err());
        assert_eq!(ask("a/b=c").await.unwrap().predicates[0].attribute, "a/b");
    }
}
