//! Attributes, tags and groups.

use rota_proto::inventory::v1 as wire;
use rota_rest::inventory as rest;

use super::{Malformed, time, values};
use crate::error::Problem;

const SCOPES: [(rest::Scope, wire::Scope); 5] = [
    (rest::Scope::Inventory, wire::Scope::Inventory),
    (rest::Scope::Identity, wire::Scope::Identity),
    (rest::Scope::System, wire::Scope::System),
    (rest::Scope::Monitor, wire::Scope::Monitor),
    (rest::Scope::Tags, wire::Scope::Tags),
];

pub(super) fn scope(word: &str) -> Result<wire::Scope, Problem> {
    if word.is_empty() {
        return Err(Problem::invalid("scope: cannot be blank"));
    }
    let known = SCOPES.iter().find(|(rest, _)| rest.name() == word).map(|(_, wire)| *wire);
    known.ok_or_else(|| Problem::invalid(format!("unknown scope {word:?}")))
}

fn scope_to_rest(scope: i32) -> Result<rest::Scope, Malformed> {
    let known = SCOPES.iter().find(|(_, wire)| i32::from(*wire) == scope);
    known.map(|(rest, _)| *rest).ok_or(Malformed("attribute scope"))
}

pub(super) fn named(attribute: &str) -> Result<String, Problem> {
    match attribute {
        "" => Err(Problem::invalid("attribute: cannot be blank")),
        name => Ok(name.to_owned()),
    }
}

/// A device and its attributes.
pub(crate) fn device(device: wire::Device) -> Result<rest::Device, Malformed> {
    let attributes = device.attributes.into_iter().map(attribute);
    Ok(rest::Device {
        id: device.id,
        attributes: attributes.collect::<Result<_, _>>()?,
        updated_ts: time::optional(device.updated)?,
    })
}

/// Devices and their attributes.
pub(crate) fn devices(devices: Vec<wire::Device>) -> Result<Vec<rest::Device>, Malformed> {
    devices.into_iter().map(device).collect()
}

fn attribute(attribute: wire::Attribute) -> Result<rest::Attribute, Malformed> {
    Ok(rest::Attribute {
        name: attribute.name,
        value: values::to_rest(attribute.value)?,
        scope: scope_to_rest(attribute.scope)?,
        description: attribute.description.filter(|description| !description.is_empty()),
        timestamp: time::optional(attribute.time)?,
    })
}

/// An attribute that filters may name.
pub(crate) fn filter_attribute(
    attribute: wire::FilterAttribute,
) -> Result<rest::FilterAttribute, Malformed> {
    let scope = scope_to_rest(attribute.scope)?;
    Ok(rest::FilterAttribute { name: attribute.name, scope, count: attribute.count })
}

/// A device's new tags. `if_match` is the value of the header, quoted or not.
pub(crate) fn tags(
    device_id: String,
    tags: Vec<rest::Tag>,
    if_match: Option<&str>,
) -> Result<wire::TagsRequest, Problem> {
    let tags = tags.into_iter().map(|tag| {
        let name = if tag.name.is_empty() {
            return Err(Problem::invalid("name: cannot be blank"));
        } else {
            tag.name
        };
        Ok(wire::Attribute {
            scope: wire::Scope::Tags.into(),
            value: Some(values::to_wire(tag.value.unwrap_or_default(), &name)?),
            name,
            description: tag.description,
            time: tag.timestamp.map(time::to_wire),
        })
    });
    let tags = tags.collect::<Result<_, _>>()?;
    let if_match = if_match
        .map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"').to_owned())
        .filter(|etag| etag != "*");
    Ok(wire::TagsRequest { device_id, tags, if_match })
}

/// What a change of a group's members did.
pub(crate) fn updated(counts: wire::UpdatedCount) -> rest::Updated {
    rest::Updated { matched_count: counts.matched, updated_count: counts.updated }
}

/// Members of a group to be.
pub(crate) fn members(
    group: String,
    device_ids: Vec<String>,
) -> Result<wire::GroupMembersRequest, Problem> {
    if device_ids.is_empty() {
        return Err(Problem::invalid("no device ids in the request body"));
    }
    Ok(wire::GroupMembersRequest { group, device_ids })
}

/// The tenant's devices in numbers. Rota knows one tier.
pub(crate) fn statistics(statistics: &wire::GetStatisticsResponse) -> rest::Statistics {
    let standard = |status: &str| rest::TierCounts {
        standard: statistics.by_status.get(status).copied().unwrap_or(0),
        ..rest::TierCounts::default()
    };
    rest::Statistics {
        devices_by_status: rest::StatusCounts {
            accepted: standard("accepted"),
            pending: standard("pending"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_is_compared_without_its_quotes() {
        let etag = |value| tags("id".into(), Vec::new(), Some(value)).unwrap().if_match;
        assert_eq!(etag("\"abc\"").as_deref(), Some("abc"));
        assert_eq!(etag("W/\"abc\"").as_deref(), Some("abc"));
        assert_eq!(etag("abc").as_deref(), Some("abc"));
        assert_eq!(etag("*"), None);
    }
}
