//! Deployments.

use std::collections::HashMap;

use rota_proto::deployments::v1::{self as wire, create_deployment_request::Target};
use rota_rest::deployments as rest;
use serde_json::Value;

use super::{Malformed, artifacts::contents, control_maps, search, time};
use crate::{
    error::Problem,
    extract::{Paging, Query, invalid},
};

/// The longest name of a deployment, in characters (server API, names).
const MAX_NAME: usize = 256;

/// The longest name of an Artifact, in characters (server API, names).
const MAX_ARTIFACT_NAME: usize = 4096;

const STATUSES: [(rest::Status, wire::DeploymentStatus); 4] = [
    (rest::Status::Scheduled, wire::DeploymentStatus::Scheduled),
    (rest::Status::Pending, wire::DeploymentStatus::Pending),
    (rest::Status::InProgress, wire::DeploymentStatus::InProgress),
    (rest::Status::Finished, wire::DeploymentStatus::Finished),
];

/// The words that a list may be narrowed to.
const STATUS_FILTERS: [&str; 5] = ["inprogress", "finished", "pending", "scheduled", "aborted"];

/// The words that a deployment's devices may be narrowed to, besides those of their statuses.
const DEVICE_STATUS_FILTERS: [&str; 3] = ["pause", "active", "finished"];

/// A deployment.
pub(crate) fn deployment(deployment: wire::Deployment) -> Result<rest::Deployment, Malformed> {
    let status = STATUSES.iter().find(|(_, wire)| i32::from(*wire) == deployment.status);
    let map = deployment.control_map;
    let map = map.map(|map| control_maps::from_wire(deployment.id.clone(), map)).transpose()?;
    Ok(rest::Deployment {
        id: deployment.id,
        name: deployment.name,
        artifact_name: deployment.artifact_name,
        created: time::required(deployment.created, "deployment.created")?,
        finished: time::optional(deployment.finished)?,
        status: status.map(|(rest, _)| *rest).ok_or(Malformed("deployment status"))?,
        device_count: deployment.device_count,
        max_devices: deployment.max_devices,
        initial_device_count: deployment.initial_device_count,
        artifacts: deployment.artifact_ids,
        groups: deployment.groups,
        kind: "software".to_owned(),
        force_installation: deployment.force_installation,
        retries: deployment.retries,
        update_control_map: map,
        statistics: rest::Statistics {
            status: counts(deployment.statistics),
            total_size: deployment.total_size,
        },
    })
}

/// Deployments.
pub(crate) fn deployments(
    deployments: Vec<wire::Deployment>,
) -> Result<Vec<rest::Deployment>, Malformed> {
    deployments.into_iter().map(deployment).collect()
}

/// Numbers for every status word, zero where nothing was counted.
pub(crate) fn counts(counted: HashMap<String, u64>) -> rest::Counts {
    let mut counts: rest::Counts =
        rest::DEVICE_STATUSES.into_iter().map(|word| (word.to_owned(), 0)).collect();
    counts.extend(counted);
    counts
}

/// What became of a deployment on one device.
pub(crate) fn device_deployment(
    device: wire::DeviceDeployment,
) -> Result<rest::DeviceDeployment, Malformed> {
    Ok(rest::DeviceDeployment {
        id: device.device_id,
        status: device.status,
        created: time::required(device.created, "device_deployment.created")?,
        started: time::optional(device.started)?,
        finished: time::optional(device.finished)?,
        device_type: device.device_type,
        log: device.log,
        substate: device.substate,
        attempts: device.attempts,
        image: device.artifact.map(image).transpose()?,
    })
}

/// What became of a deployment on several devices.
pub(crate) fn device_deployments(
    devices: Vec<wire::DeviceDeployment>,
) -> Result<Vec<rest::DeviceDeployment>, Malformed> {
    devices.into_iter().map(device_deployment).collect()
}

fn image(artifact: wire::Artifact) -> Result<rest::Image, Malformed> {
    Ok(rest::Image {
        id: artifact.id.clone(),
        meta: rest::ImageMeta { description: artifact.description.clone() },
        size: artifact.size,
        modified: time::required(artifact.modified, "artifact.modified")?,
        meta_artifact: contents(artifact)?,
    })
}

/// A deployment in a device's history.
pub(crate) fn history_entry(
    entry: wire::DeviceHistoryEntry,
) -> Result<rest::HistoryEntry, Malformed> {
    let device = entry.device.ok_or(Malformed("history.device"))?;
    Ok(rest::HistoryEntry {
        id: device.id.clone(),
        deployment: deployment(entry.deployment.ok_or(Malformed("history.deployment"))?)?,
        device: device_deployment(device)?,
    })
}

/// A new deployment to devices, or to all.
pub(crate) fn create(body: rest::NewDeployment) -> Result<wire::CreateDeploymentRequest, Problem> {
    let target = match (body.devices.is_empty(), body.all_devices) {
        (false, false) => Target::Devices(wire::Words { values: body.devices.clone() }),
        (true, true) => Target::AllDevices(true),
        (true, false) => {
            let error =
                "Invalid deployments definition: provide list of devices or set all_devices flag";
            return Err(Problem::invalid(error));
        }
        (false, true) => {
            let error = "Invalid deployments definition: list of devices provided together with all_devices flag";
            return Err(Problem::invalid(error));
        }
    };
    create_for(target, body)
}

/// A new deployment to a group.
pub(crate) fn create_for_group(
    group: String,
    body: rest::NewDeployment,
) -> Result<wire::CreateDeploymentRequest, Problem> {
    if !body.devices.is_empty() || body.all_devices {
        let error = "a deployment to a group takes neither devices nor all_devices";
        return Err(Problem::invalid(error));
    }
    create_for(Target::Group(group), body)
}

fn create_for(
    target: Target,
    body: rest::NewDeployment,
) -> Result<wire::CreateDeploymentRequest, Problem> {
    length("name", &body.name, MAX_NAME)?;
    length("artifact_name", &body.artifact_name, MAX_ARTIFACT_NAME)?;
    refuse("phases", body.phases.as_ref())?;
    refuse("uniform_phases", body.uniform_phases.as_ref())?;
    Ok(wire::CreateDeploymentRequest {
        name: body.name,
        artifact_name: body.artifact_name,
        target: Some(target),
        force_installation: body.force_installation,
        retries: body.retries,
        control_map: body.update_control_map.map(control_maps::to_wire).transpose()?,
    })
}

/// Another control map for a deployment.
pub(crate) fn replace_control_map(
    deployment_id: String,
    body: rest::NewControlMap,
) -> Result<wire::ReplaceControlMapRequest, Problem> {
    let missing = || Problem::invalid("update_control_map: cannot be blank");
    let map = control_maps::to_wire(body.update_control_map.ok_or_else(missing)?)?;
    Ok(wire::ReplaceControlMapRequest { deployment_id, control_map: Some(map) })
}

fn length(name: &str, value: &str, max: usize) -> Result<(), Problem> {
    match value.chars().count() {
        0 => Err(Problem::invalid(format!("{name}: cannot be blank"))),
        length if length > max => {
            Err(Problem::invalid(format!("{name}: the length must be between 1 and {max}")))
        }
        _ => Ok(()),
    }
}

/// Refuses what would make a deployment slower or more careful, and is not there: to ignore it
/// would roll out faster than was asked for.
fn refuse(name: &str, value: Option<&Value>) -> Result<(), Problem> {
    let empty = match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(_) => false,
    };
    if empty { Ok(()) } else { Err(Problem::invalid(format!("{name}: not supported"))) }
}

/// Which deployments a query asks for; `None` for those of a type that there are none of.
pub(crate) fn list(
    query: &Query,
    paging: &Paging,
) -> Result<Option<wire::ListDeploymentsRequest>, Problem> {
    let status = query.text("status");
    if !status.is_empty() && !STATUS_FILTERS.contains(&status.as_str()) {
        return Err(invalid("status", &status));
    }
    let is_software = match query.first("type") {
        None | Some("software") => true,
        Some("configuration") => false,
        Some(other) => return Err(invalid("type", other)),
    };
    let request = wire::ListDeploymentsRequest {
        status,
        search: query.text("search"),
        created_before: query.seconds("created_before")?,
        created_after: query.seconds("created_after")?,
        ascending: query.word("sort", &[("asc", true), ("desc", false)])?,
        page: paging.number(),
        per_page: paging.size(),
        ..wire::ListDeploymentsRequest::default()
    };
    Ok(is_software.then_some(request))
}

/// [`list`] with what v2 adds: several ids and names.
pub(crate) fn list_v2(
    query: &Query,
    paging: &Paging,
) -> Result<Option<wire::ListDeploymentsRequest>, Problem> {
    let ids = uuids("id", &query.all("id"))?;
    let request = list(query, paging)?;
    Ok(request.map(|request| wire::ListDeploymentsRequest {
        ids,
        names: query.all("name"),
        search: String::new(),
        ..request
    }))
}

/// The search for devices that the names of a v2 query may mean instead of deployments.
pub(crate) fn devices_behind_names(
    query: &Query,
) -> Result<Option<rota_proto::inventory::v1::SearchRequest>, Problem> {
    let names = query.all("name");
    match (query.first("id_attribute"), query.first("id_scope")) {
        (Some(attribute), Some(scope @ ("identity" | "inventory" | "tags")))
            if !names.is_empty() =>
        {
            search::devices_named(scope, attribute, names).map(Some)
        }
        (Some(_), Some(scope)) if !names.is_empty() => Err(invalid("id_scope", scope)),
        _ => Ok(None),
    }
}

/// How a deployment's devices are narrowed down.
pub(crate) fn device_status(query: &Query) -> Result<String, Problem> {
    let status = query.text("status");
    let mut known = rest::DEVICE_STATUSES.into_iter().chain(DEVICE_STATUS_FILTERS);
    if status.is_empty() || known.any(|word| word == status) {
        Ok(status)
    } else {
        Err(invalid("status", &status))
    }
}

/// Of which deployments to tell the numbers.
pub(crate) fn statistics_ids(ids: &[String]) -> Result<Vec<String>, Problem> {
    /// Server API, deployments: management.
    const MAX_IDS: usize = 100;
    if ids.len() > MAX_IDS {
        return Err(Problem::invalid(format!("deployment_ids: at most {MAX_IDS} are allowed")));
    }
    uuids("deployment_ids", ids)
}

/// Ids in their customary spelling, all of them UUIDs.
fn uuids(name: &str, ids: &[String]) -> Result<Vec<String>, Problem> {
    let parsed = ids.iter().map(|id| uuid::Uuid::parse_str(id).map(|id| id.to_string()));
    parsed
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::invalid(format!("{name}: ID is not a valid UUID")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<wire::CreateDeploymentRequest, Problem> {
        create(crate::lenient::from_slice(body.to_string().as_bytes())?)
    }

    #[test]
    fn a_deployment_is_for_some_or_for_all() {
        let named = |more: Value| {
            let mut body = json!({"name": "n", "artifact_name": "a"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read(&body)
        };
        assert!(named(json!({"devices": ["d"]})).is_ok());
        assert!(named(json!({"all_devices": true})).is_ok());
        assert!(named(json!({})).is_err());
        assert!(named(json!({"devices": []})).is_err());
        assert!(named(json!({"devices": ["d"], "all_devices": true})).is_err());
        assert!(named(json!({"devices": ["d"], "phases": []})).is_ok());
        assert!(named(json!({"devices": ["d"], "phases": [{"batch_size": 10}]})).is_err());
        let without = named(json!({"devices": ["d"], "update_control_map": null})).unwrap();
        assert_eq!(without.control_map, None);
        // A map that says nothing yet can still be replaced.
        let empty = named(json!({"devices": ["d"], "update_control_map": {}})).unwrap();
        assert_eq!(empty.control_map, Some(wire::ControlMap::default()));
    }

    #[test]
    fn names_have_their_lengths() {
        let named = |name: &str, artifact: &str| {
            read(&json!({"name": name, "artifact_name": artifact, "all_devices": true})).is_ok()
        };
        assert!(named(&"é".repeat(256), &"a".repeat(4096)));
        assert!(!named(&"n".repeat(257), "a"));
        assert!(!named("n", &"a".repeat(4097)));
        assert!(!named("", "a"));
        assert!(!named("n", ""));
    }

    #[test]
    fn every_status_has_its_number() {
        let counts = counts(HashMap::from([("success".to_owned(), 3)]));
        assert_eq!(counts.len(), rest::DEVICE_STATUSES.len());
        assert_eq!((counts["success"], counts["pending"]), (3, 0));
    }
}
