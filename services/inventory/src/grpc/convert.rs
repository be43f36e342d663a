//! Wire types to the model's and back.

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;
use rota_proto::inventory::v1 as pb;
use rota_types::{DeviceId, MAX_PER_PAGE, Page};
use uuid::Uuid;

use crate::{
    Error, FilterAttribute, Moved, Targets,
    model::{
        Attribute, Attributes, Device, GroupName, InvalidAttribute, Operator, Order, Predicate,
        Provision, Scope, Search, Selected, Status, Value, identity,
    },
};

/// A device that cannot exist is one that is not found.
pub(super) fn device_id(text: &str) -> Result<DeviceId, Error> {
    text.parse().map_err(|_| Error::NoDevice)
}

/// An id that another service states.
pub(super) fn stated_id(text: &str) -> Result<DeviceId, Error> {
    text.parse().map_err(|_| Error::Malformed("device id must be a UUID"))
}

/// Ids of devices; what is no id names none, and an empty list is left to its user.
pub(super) fn device_ids(texts: &[String]) -> Result<Vec<DeviceId>, Error> {
    if texts.is_empty() {
        return Err(Error::NoDevices);
    }
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

pub(super) fn texts(ids: &[Uuid]) -> Vec<String> {
    ids.iter().map(Uuid::to_string).collect()
}

pub(super) fn group(name: String) -> Result<GroupName, Error> {
    Ok(GroupName::new(name)?)
}

/// For all but joining, longer names are accepted.
pub(super) fn existing_group(name: String) -> Result<GroupName, Error> {
    Ok(GroupName::existing(name)?)
}

pub(super) fn status(word: Option<&str>) -> Result<Option<Status>, Error> {
    Ok(word.map(str::parse).transpose()?)
}

pub(super) fn page(number: u32, size: u32) -> Result<Page, Error> {
    Ok(Page::new(number, size, MAX_PER_PAGE)?)
}

/// Attributes whose scope the call names.
pub(super) fn attributes(stated: Vec<pb::Attribute>) -> Result<Vec<Attribute>, Error> {
    let attribute = |stated: pb::Attribute| {
        let pb::Attribute { name, value: wire, description, time: stated_at, .. } = stated;
        let Some(value) = wire.and_then(value) else {
            return Err(InvalidAttribute::NoValue(name).into());
        };
        Ok(Attribute { name, value, description, time: stated_at.as_ref().map(time).transpose()? })
    };
    stated.into_iter().map(attribute).collect()
}

fn value(wire: pb::Value) -> Option<Value> {
    Some(match wire.kind? {
        pb::value::Kind::Text(text) => Value::Text(text),
        pb::value::Kind::Number(number) => Value::Number(number),
        pb::value::Kind::Flag(flag) => Value::Flag(flag),
        pb::value::Kind::Texts(list) => Value::Texts(list.values),
        pb::value::Kind::Numbers(list) => Value::Numbers(list.values),
    })
}

fn wire_value(value: Value) -> pb::Value {
    let kind = match value {
        Value::Text(text) => pb::value::Kind::Text(text),
        Value::Number(number) => pb::value::Kind::Number(number),
        Value::Flag(flag) => pb::value::Kind::Flag(flag),
        Value::Texts(values) => pb::value::Kind::Texts(pb::TextList { values }),
        Value::Numbers(values) => pb::value::Kind::Numbers(pb::NumberList { values }),
        Value::Time(time) => {
            pb::value::Kind::Text(time.to_rfc3339_opts(SecondsFormat::Millis, true))
        }
    };
    pb::Value { kind: Some(kind) }
}

fn time(wire: &Timestamp) -> Result<DateTime<Utc>, Error> {
    rota_proto::from_timestamp(wire)
        .and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos))
        // What Postgres can hold, with room: years 1 to 9999, as RFC 3339 writes them.
        .filter(|time| (-62_135_596_800..253_402_300_800).contains(&time.timestamp()))
        .ok_or(Error::Malformed("a time is out of range"))
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}

fn scope(number: i32) -> Result<Scope, Error> {
    match pb::Scope::try_from(number) {
        Ok(pb::Scope::Inventory) => Ok(Scope::Inventory),
        Ok(pb::Scope::Identity) => Ok(Scope::Identity),
        Ok(pb::Scope::System) => Ok(Scope::System),
        Ok(pb::Scope::Monitor) => Ok(Scope::Monitor),
        Ok(pb::Scope::Tags) => Ok(Scope::Tags),
        Ok(pb::Scope::Unspecified) | Err(_) => {
            Err(Error::Malformed("scope must be one of system, identity, inventory, monitor, tags"))
        }
    }
}

fn wire_scope(scope: Scope) -> i32 {
    let scope = match scope {
        Scope::Inventory => pb::Scope::Inventory,
        Scope::Identity => pb::Scope::Identity,
        Scope::System => pb::Scope::System,
        Scope::Monitor => pb::Scope::Monitor,
        Scope::Tags => pb::Scope::Tags,
    };
    scope.into()
}

/// A device with the attributes that `selects` picks, by scope and name.
pub(super) fn device(device: &Device, selects: impl Fn(Scope, &str) -> bool) -> pb::Device {
    let mut attributes = Vec::new();
    let mut add = |scope: Scope, name: &str, attribute: pb::Attribute| {
        if selects(scope, name) {
            attributes.push((scope, attribute));
        }
    };
    let scopes: [(Scope, &Attributes); 3] = [
        (Scope::Identity, &device.identity),
        (Scope::Inventory, &device.inventory),
        (Scope::Tags, &device.tags),
    ];
    for (scope, held) in scopes {
        for (name, held) in held {
            let attribute = pb::Attribute {
                description: held.description.clone(),
                time: held.time.map(timestamp),
                ..bare(scope, name, held.value.clone())
            };
            add(scope, name, attribute);
        }
    }
    let group = device.group.as_ref().map(|group| Value::Text(group.as_str().to_owned()));
    let group = group.map(|value| (Scope::System, "group", value));
    for (scope, name, value) in device.own().chain(group) {
        add(scope, name, bare(scope, name, value));
    }
    attributes.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    pb::Device {
        id: device.id.to_string(),
        attributes: attributes.into_iter().map(|(_, attribute)| attribute).collect(),
        updated: Some(timestamp(device.updated)),
        etag: device.tags_etag.filter(|_| !device.tags.is_empty()).map(|etag| etag.to_string()),
    }
}

fn bare(scope: Scope, name: &str, value: Value) -> pb::Attribute {
    pb::Attribute {
        scope: wire_scope(scope),
        name: name.to_owned(),
        value: Some(wire_value(value)),
        description: None,
        time: None,
    }
}

pub(super) fn search(request: pb::SearchRequest) -> Result<Search, Error> {
    let devices = match request.device_ids.as_slice() {
        [] => None,
        ids => Some(ids.iter().filter_map(|id| id.parse().ok()).collect()),
    };
    let order = |wire: pb::SortCriterion| {
        let pb::SortCriterion { scope: number, attribute, descending } = wire;
        Ok::<_, Error>(Order { scope: scope(number)?, attribute, descending })
    };
    let selected = |wire: pb::SelectAttribute| {
        Ok::<_, Error>(Selected { scope: scope(wire.scope)?, attribute: wire.attribute })
    };
    Ok(Search {
        devices,
        text: request.text,
        predicates: request.predicates.into_iter().map(predicate).collect::<Result<_, _>>()?,
        orders: request.sort.into_iter().map(order).collect::<Result<_, _>>()?,
        selected: request.select.into_iter().map(selected).collect::<Result<_, _>>()?,
        page: page(request.page, request.per_page)?,
    })
}

fn predicate(wire: pb::Predicate) -> Result<Predicate, Error> {
    let no_value = || Error::Malformed("filter has no value");
    Ok(Predicate {
        scope: scope(wire.scope)?,
        attribute: wire.attribute,
        operator: operator(wire.operator)?,
        value: wire.value.and_then(value).ok_or_else(no_value)?,
        alternatives: wire.alternatives.into_iter().filter_map(value).collect(),
    })
}

fn operator(number: i32) -> Result<Operator, Error> {
    match pb::Operator::try_from(number) {
        Ok(pb::Operator::Eq) => Ok(Operator::Eq),
        Ok(pb::Operator::Ne) => Ok(Operator::Ne),
        Ok(pb::Operator::Gt) => Ok(Operator::Gt),
        Ok(pb::Operator::Gte) => Ok(Operator::Gte),
        Ok(pb::Operator::Lt) => Ok(Operator::Lt),
        Ok(pb::Operator::Lte) => Ok(Operator::Lte),
        Ok(pb::Operator::Ltne) => Ok(Operator::Ltne),
        Ok(pb::Operator::In) => Ok(Operator::In),
        Ok(pb::Operator::Nin) => Ok(Operator::Nin),
        Ok(pb::Operator::Exists) => Ok(Operator::Exists),
        Ok(pb::Operator::Regex) => Ok(Operator::Regex),
        Ok(pb::Operator::Unspecified) | Err(_) => Err(Error::Malformed("unknown filter type")),
    }
}

pub(super) fn provision(wire: &pb::ProvisionDeviceRequest) -> Result<(DeviceId, Provision), Error> {
    let id = stated_id(&wire.device_id)?;
    if wire.revision < 1 {
        return Err(Error::Malformed("revision must be at least 1"));
    }
    let data: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&wire.identity_data)
            .map_err(|_| Error::Malformed("identity_data must be a JSON object"))?;
    let word = Provision {
        revision: wire.revision,
        status: wire.status.parse()?,
        identity: identity(data.into_iter().filter_map(|(name, json)| Some((name, any(json)?)))),
        created: time(wire.created.as_ref().ok_or(Error::Malformed("created is missing"))?)?,
        check_in: wire.check_in.as_ref().map(time).transpose()?,
    };
    Ok((id, word))
}

/// Any JSON as an attribute's value: what has no other form is its own text.
fn any(json: serde_json::Value) -> Option<Value> {
    match json {
        serde_json::Value::Null => None,
        serde_json::Value::Bool(flag) => Some(Value::Flag(flag)),
        serde_json::Value::Number(number) => number.as_f64().map(Value::Number),
        serde_json::Value::String(text) => Some(Value::Text(text)),
        serde_json::Value::Array(ref elements) => {
            let texts = elements.iter().map(|one| one.as_str().map(ToOwned::to_owned)).collect();
            let numbers = || elements.iter().map(serde_json::Value::as_f64).collect();
            let list = Option::map(texts, Value::Texts);
            let list = list.or_else(|| Option::map(numbers(), Value::Numbers));
            list.or_else(|| Some(Value::Text(json.to_string())))
        }
        serde_json::Value::Object(_) => Some(Value::Text(json.to_string())),
    }
}

pub(super) fn targets(
    wire: pb::StreamTargetsRequest,
) -> Result<(Targets, Option<DeviceId>), Error> {
    let after = wire.after.as_deref().map(stated_id).transpose()?;
    let targets = match (wire.group, wire.device_ids.as_slice()) {
        (None, []) => Targets::All,
        (Some(name), []) => Targets::Group(existing_group(name)?),
        (None, ids) => Targets::List(ids.iter().filter_map(|id| id.parse().ok()).collect()),
        (Some(_), _) => return Err(Error::Malformed("either a group or devices are targets")),
    };
    Ok((targets, after))
}

impl From<Moved> for pb::UpdatedCount {
    fn from(moved: Moved) -> Self {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        Self { updated: count(moved.updated), matched: count(moved.matched) }
    }
}

impl From<FilterAttribute> for pb::FilterAttribute {
    fn from(attribute: FilterAttribute) -> Self {
        let FilterAttribute { scope, name, devices } = attribute;
        Self { scope: wire_scope(scope), name, count: devices }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identity_data_of_any_form_has_values() {
        assert_eq!(any(json!(null)), None);
        assert_eq!(any(json!(1)), Some(Value::Number(1.0)));
        assert_eq!(any(json!(["a", "b"])), Some(Value::Texts(vec!["a".into(), "b".into()])));
        assert_eq!(any(json!([1, 2.5])), Some(Value::Numbers(vec![1.0, 2.5])));
        assert_eq!(any(json!(["a", 1])), Some(Value::Text(r#"["a",1]"#.into())));
        assert_eq!(any(json!({"a": 1})), Some(Value::Text(r#"{"a":1}"#.into())));
    }

    #[test]
    fn attributes_without_value_are_refused() {
        let wire = pb::Attribute { name: "a".to_owned(), ..pb::Attribute::default() };
        let error = attributes(vec![wire]).unwrap_err();
        assert!(matches!(error, Error::Attribute(InvalidAttribute::NoValue(name)) if name == "a"));
    }

    #[test]
    fn times_that_no_calendar_has_are_refused() {
        let wire = |seconds| Timestamp { seconds, nanos: 0 };
        assert!(time(&wire(i64::MAX)).is_err());
        assert!(time(&wire(-62_135_596_801)).is_err());
        assert!(time(&wire(0)).is_ok());
    }
}
