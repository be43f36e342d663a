//! Domain types to wire types, and what both directions need.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use rota_proto::deployments::v1::{self as wire, LogLine as WireLogLine};
use rota_types::{DeploymentId, MAX_PER_PAGE, Page};

use super::control_map;
use crate::{
    app::{devices::Instructions, link::Link, listing::Records},
    error::Error,
    model::{
        artifact::{Artifact, ArtifactsById, File, Update},
        deployment::{Deployment, DeploymentStatus, DeviceDeployment, Statistics},
        device_log::LogLine,
        release::Release,
    },
};

pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}

/// A page; `None` where all is wanted on one.
pub(super) fn page(number: u32, size: u32) -> Result<Option<Page>, Error> {
    if number == 0 { Ok(None) } else { paged(number, size).map(Some) }
}

/// A page of a list that comes in pages alone.
pub(super) fn paged(number: u32, size: u32) -> Result<Page, Error> {
    Ok(Page::new(number, size, MAX_PER_PAGE)?)
}

/// The id of a deployment that a device was given: nonsense is unknown, not malformed.
pub(super) fn known_id(id: &str) -> Result<DeploymentId, Error> {
    id.parse().map_err(|_| Error::NotFound)
}

pub(super) fn log_line(line: WireLogLine) -> Result<LogLine, Error> {
    let missing = |field| Error::Field { field, reason: "must not be missing" };
    let time = line.time.as_ref().and_then(rota_proto::from_timestamp);
    let time = time.and_then(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos));
    if line.level.is_empty() {
        return Err(missing("level"));
    }
    Ok(LogLine {
        time: time.ok_or_else(|| missing("timestamp"))?,
        level: line.level,
        message: line.message,
    })
}

pub(super) fn link(link: Link) -> wire::Link {
    wire::Link { uri: link.uri, expires: Some(timestamp(link.expires)) }
}

pub(super) fn instructions(told: Instructions) -> wire::Instructions {
    wire::Instructions {
        deployment_id: told.deployment.to_string(),
        artifact_id: told.artifact.id.to_string(),
        device_types: told.artifact.device_types().to_vec(),
        artifact_name: told.artifact.name,
        source: Some(link(told.source)),
        control_map: told.control_map.as_ref().map(control_map::to_wire),
    }
}

pub(super) fn artifact(artifact: &Artifact) -> wire::Artifact {
    let depends = artifact.depends.iter();
    wire::Artifact {
        id: artifact.id.to_string(),
        name: artifact.name.clone(),
        description: artifact.description.clone(),
        device_types: artifact.device_types().to_vec(),
        format_version: artifact.format_version,
        signed: artifact.signed,
        updates: artifact.updates.iter().map(update).collect(),
        provides: artifact.provides.clone().into_iter().collect(),
        depends: depends
            .map(|(key, values)| (key.clone(), wire::Words { values: values.clone() }))
            .collect(),
        clears_provides: artifact.clears_provides.clone().unwrap_or_default(),
        size: artifact.size_bytes,
        modified: Some(timestamp(artifact.modified)),
    }
}

fn update(update: &Update) -> wire::ArtifactUpdate {
    wire::ArtifactUpdate {
        r#type: update.payload_type.clone().unwrap_or_default(),
        files: update.files.iter().map(file).collect(),
        metadata: serde_json::Value::Object(update.metadata.clone()).to_string(),
    }
}

fn file(file: &File) -> wire::ArtifactFile {
    wire::ArtifactFile {
        name: file.name.clone(),
        checksum: file.checksum.clone(),
        size: file.size_bytes,
        date: file.modified.map(timestamp),
    }
}

pub(super) fn release(release: &Release) -> wire::Release {
    wire::Release {
        name: release.name.clone(),
        modified: Some(timestamp(release.modified)),
        artifacts: release.artifacts.iter().map(artifact).collect(),
        artifacts_count: u32::try_from(release.artifacts.len()).unwrap_or(u32::MAX),
        tags: release.tags.clone(),
        notes: release.notes.clone(),
    }
}

pub(super) fn deployment(deployment: &Deployment) -> wire::Deployment {
    let status = match deployment.status() {
        DeploymentStatus::Pending => wire::DeploymentStatus::Pending,
        DeploymentStatus::InProgress => wire::DeploymentStatus::InProgress,
        DeploymentStatus::Finished => wire::DeploymentStatus::Finished,
    };
    wire::Deployment {
        id: deployment.id.to_string(),
        name: deployment.name.clone(),
        artifact_name: deployment.artifact_name.clone(),
        created: Some(timestamp(deployment.created)),
        finished: deployment.finished.map(timestamp),
        status: status.into(),
        device_count: deployment.device_count,
        // The list is fixed when a deployment is created, so that all three are one number.
        max_devices: deployment.device_count,
        initial_device_count: deployment.device_count,
        artifact_ids: deployment.artifacts.iter().map(ToString::to_string).collect(),
        groups: deployment.groups.clone(),
        force_installation: deployment.force_installation,
        retries: deployment.retries,
        statistics: statistics(&deployment.statistics),
        total_size: deployment.statistics.handed_out_bytes,
        control_map: deployment.control_map.as_ref().map(control_map::to_wire),
    }
}

pub(super) fn statistics(statistics: &Statistics) -> std::collections::HashMap<String, u64> {
    statistics.iter().map(|(status, devices)| (status.word().to_owned(), devices)).collect()
}

/// A device's record, with the Artifact that it names.
pub(super) fn record(
    record: &DeviceDeployment,
    artifacts: &ArtifactsById,
) -> wire::DeviceDeployment {
    wire::DeviceDeployment {
        id: record.id.to_string(),
        device_id: record.device.to_string(),
        deployment_id: record.deployment.to_string(),
        status: record.status.word().to_owned(),
        substate: record.substate.clone(),
        created: Some(timestamp(record.created)),
        started: record.started.map(timestamp),
        finished: record.finished.map(timestamp),
        device_type: record.device_type.clone(),
        log: record.log,
        attempts: record.attempts,
        artifact: record.artifact.and_then(|id| artifacts.get(&id)).map(artifact),
    }
}

pub(super) fn records(records: &Records) -> Vec<wire::DeviceDeployment> {
    records.devices.iter().map(|each| record(each, &records.artifacts)).collect()
}
