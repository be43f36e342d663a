//! What devices send and receive.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rota_proto::{deployments::v1 as deployments, inventory::v1 as inventory};
use rota_rest::device as rest;

use super::{Malformed, control_maps, time, values};
use crate::error::Problem;

/// Attributes of the `inventory` scope.
pub(crate) fn attributes(
    body: Vec<rest::Attribute>,
) -> Result<inventory::DeviceAttributesRequest, Problem> {
    let attributes = body.into_iter().map(|attribute| {
        if attribute.name.is_empty() {
            return Err(Problem::invalid("name: cannot be blank"));
        }
        Ok(inventory::Attribute {
            scope: inventory::Scope::Inventory.into(),
            value: Some(values::to_wire(attribute.value, &attribute.name)?),
            name: attribute.name,
            description: attribute.description,
            time: None,
        })
    });
    Ok(inventory::DeviceAttributesRequest { attributes: attributes.collect::<Result<_, _>>()? })
}

/// What a device asks with: everything that it provides, its type and Artifact among it.
pub(crate) fn next(provides: rest::DeviceProvides) -> Result<deployments::NextRequest, Problem> {
    let rest::DeviceProvides { mut device_type, mut artifact_name, other } = provides;
    let mut provides = HashMap::with_capacity(other.len() + 2);
    for (name, value) in other {
        // The two that the protocol names are members, whose case does not count.
        match name.to_ascii_lowercase().as_str() {
            "device_type" if device_type.is_empty() => device_type = value,
            "artifact_name" if artifact_name.is_empty() => artifact_name = value,
            "device_type" | "artifact_name" => {}
            _ => {
                provides.insert(name, value);
            }
        }
    }
    for (name, value) in [("device_type", &device_type), ("artifact_name", &artifact_name)] {
        if value.is_empty() {
            return Err(Problem::invalid(format!("{name}: cannot be blank")));
        }
        provides.insert(name.to_owned(), value.clone());
    }
    Ok(deployments::NextRequest {
        device_type,
        artifact_name,
        provides,
        understands_control_maps: false,
    })
}

/// [`next`], as devices ask that may understand control maps.
pub(crate) fn next_v2(body: rest::NextRequest) -> Result<deployments::NextRequest, Problem> {
    let understands_control_maps = body.update_control_map;
    Ok(deployments::NextRequest { understands_control_maps, ..next(body.device_provides)? })
}

/// What a device shall do. `absolute` completes a link that is one of the gateway's own.
pub(crate) fn instructions(
    instructions: deployments::Instructions,
    absolute: impl FnOnce(String) -> Result<String, Problem>,
) -> Result<rest::ControlledInstructions, Problem> {
    let source = instructions.source.ok_or(Malformed("instructions.source"))?;
    let expire = time::required(source.expires, "link.expires")?;
    let map = instructions.control_map;
    let id = instructions.deployment_id;
    let map = map.map(|map| control_maps::from_wire(id.clone(), map)).transpose()?;
    let instructions = rest::Instructions {
        id,
        artifact: rest::InstructionsArtifact {
            id: Some(instructions.artifact_id),
            artifact_name: instructions.artifact_name,
            source: rest::Source { uri: absolute(source.uri)?, expire: Some(rfc3339(expire)) },
            device_types_compatible: instructions.device_types,
        },
    };
    Ok(rest::ControlledInstructions { instructions, update_control_map: map })
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// A status report. Which words a device may say is for deployments to judge.
pub(crate) fn status_report(
    deployment_id: String,
    body: rest::StatusReport,
) -> Result<deployments::ReportStatusRequest, Problem> {
    if body.status.is_empty() {
        return Err(Problem::invalid("status: cannot be blank"));
    }
    let rest::StatusReport { status, substate } = body;
    let substate = substate.unwrap_or_default();
    Ok(deployments::ReportStatusRequest { deployment_id, status, substate })
}

/// A deployment log; each line needs all its parts.
pub(crate) fn log(
    deployment_id: String,
    body: rest::DeploymentLog,
) -> Result<deployments::StoreLogRequest, Problem> {
    if body.messages.is_empty() {
        return Err(Problem::invalid("messages: cannot be blank"));
    }
    let lines = body.messages.into_iter().enumerate().map(|(index, line)| {
        let time = DateTime::parse_from_rfc3339(&line.timestamp).map_err(|_| {
            Problem::invalid(format!("messages[{index}].timestamp: not a time of RFC 3339"))
        })?;
        if line.level.is_empty() {
            return Err(Problem::invalid(format!("messages[{index}].level: cannot be blank")));
        }
        Ok(deployments::LogLine {
            time: Some(time::to_wire(time.to_utc())),
            level: line.level,
            message: line.message,
        })
    });
    let lines = lines.collect::<Result<_, _>>()?;
    Ok(deployments::StoreLogRequest { deployment_id, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provides(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn ask(body: &str) -> Result<deployments::NextRequest, Problem> {
        next(crate::lenient::from_slice(body.as_bytes())?)
    }

    #[test]
    fn a_poll_needs_type_and_artifact_in_any_case() {
        let request = ask(r#"{"Device_Type":"a","ARTIFACT_NAME":"b","Rootfs.X":"c"}"#).unwrap();
        assert_eq!((request.device_type.as_str(), request.artifact_name.as_str()), ("a", "b"));
        assert_eq!(
            request.provides,
            provides(&[("device_type", "a"), ("artifact_name", "b"), ("Rootfs.X", "c")])
        );
        assert!(ask(r#"{"device_type":"a"}"#).is_err());
        assert!(ask(r#"{"device_type":"","artifact_name":"b"}"#).is_err());
        assert!(ask(r#"{"device_type":"a","artifact_name":"b","x":1}"#).is_err());
    }

    #[test]
    fn a_log_needs_every_part_of_every_line() {
        let read = |text: &str| {
            let body = crate::lenient::from_slice(text.as_bytes()).map_err(Problem::from)?;
            log("id".into(), body)
        };
        let line = r#"{"timestamp":"2026-01-02T03:04:05.6+01:00","level":"info","message":""}"#;
        let request = read(&format!(r#"{{"messages":[{line}]}}"#)).unwrap();
        assert_eq!(request.lines[0].time.unwrap().seconds, 1_767_319_445);
        for text in [
            "{}",
            r#"{"messages":[]}"#,
            r#"{"messages":[{}]}"#,
            r#"{"messages":[{"timestamp":"2026-01-02T03:04:05Z","level":"info"}]}"#,
            r#"{"messages":[{"timestamp":"yesterday","level":"info","message":"m"}]}"#,
            r#"{"messages":[{"timestamp":"2026-01-02T03:04:05Z","message":"m"}]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
