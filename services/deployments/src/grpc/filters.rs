//! What lists are asked for, from the wire.

use chrono::{DateTime, Utc};
use rota_proto::deployments::v1::{
    ListArtifactsRequest, ListDeploymentsRequest, ListReleasesRequest, NameMatch as WireNameMatch,
};

use crate::{
    error::Error,
    model::{
        artifact::{ArtifactFilter, ArtifactOrder, Direction, NameMatch},
        deployment::{DeploymentFilter, DeploymentStatusFilter},
        release::{ReleaseFilter, ReleaseOrder},
    },
};

pub(super) fn artifacts(request: ListArtifactsRequest) -> Result<ArtifactFilter, Error> {
    let name_match = match request.name_match() {
        WireNameMatch::ExactOrPrefix => NameMatch::ExactOrPrefix,
        WireNameMatch::Substring => NameMatch::Substring,
    };
    let (order, direction) = sort(&request.sort, |field| match field {
        "name" => Some(ArtifactOrder::Name),
        "modified" => Some(ArtifactOrder::Modified),
        _ => None,
    })?
    .unwrap_or((ArtifactOrder::Name, Direction::Ascending));
    Ok(ArtifactFilter {
        names: request.names.into_iter().filter(|name| !name.is_empty()).collect(),
        name_match,
        description: request.description,
        device_type: request.device_type,
        order,
        direction,
    })
}

pub(super) fn releases(request: ListReleasesRequest) -> Result<ReleaseFilter, Error> {
    let (order, direction) = sort(&request.sort, |field| match field {
        "name" => Some(ReleaseOrder::Name),
        "modified" => Some(ReleaseOrder::Modified),
        "artifacts_count" => Some(ReleaseOrder::ArtifactsCount),
        "tags" => Some(ReleaseOrder::Tags),
        _ => None,
    })?
    .unwrap_or((ReleaseOrder::Name, Direction::Ascending));
    Ok(ReleaseFilter {
        name: request.name,
        tags: request.tags,
        update_type: request.update_type,
        description: request.description,
        device_type: request.device_type,
        order,
        direction,
    })
}

pub(super) fn deployments(request: ListDeploymentsRequest) -> Result<DeploymentFilter, Error> {
    let parse_all = |ids: &[String]| ids.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let devices: Result<Vec<_>, _> = request.device_ids.iter().map(|id| id.parse()).collect();
    Ok(DeploymentFilter {
        status: DeploymentStatusFilter::parse(&request.status)?,
        search: request.search,
        ids: parse_all(&request.ids)?,
        names: request.names,
        devices: devices?,
        created_before: request.created_before.map(seconds("created_before")).transpose()?,
        created_after: request.created_after.map(seconds("created_after")).transpose()?,
        direction: if request.ascending { Direction::Ascending } else { Direction::Descending },
    })
}

fn seconds(field: &'static str) -> impl Fn(i64) -> Result<DateTime<Utc>, Error> {
    // Postgres ends in the year 294276, and nobody means a deployment from before 1970.
    const LAST: i64 = 9_000_000_000_000;
    move |seconds| {
        (0..=LAST)
            .contains(&seconds)
            .then(|| DateTime::from_timestamp(seconds, 0))
            .flatten()
            .ok_or(Error::Field { field, reason: "must be seconds since 1970" })
    }
}

/// `field`, `field:asc` or `field:desc`; `None` where nothing is said.
fn sort<T>(text: &str, field: impl Fn(&str) -> Option<T>) -> Result<Option<(T, Direction)>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let (name, direction) = text.split_once(':').unwrap_or((text, "asc"));
    let direction = match direction {
        "asc" => Some(Direction::Ascending),
        "desc" => Some(Direction::Descending),
        _ => None,
    };
    match (field(name), direction) {
        (Some(field), Some(direction)) => Ok(Some((field, direction))),
        _ => Err(Error::Field { field: "sort", reason: "must be a field, then :asc or :desc" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_name_a_field_and_a_direction() {
        let order = |sort: &str| {
            let request = ListReleasesRequest { sort: sort.to_owned(), ..Default::default() };
            releases(request).map(|filter| (filter.order, filter.direction)).ok()
        };
        assert_eq!(order(""), Some((ReleaseOrder::Name, Direction::Ascending)));
        assert_eq!(order("tags:desc"), Some((ReleaseOrder::Tags, Direction::Descending)));
        assert_eq!(order("modified"), Some((ReleaseOrder::Modified, Direction::Ascending)));
        for wrong in ["size:asc", "name:up", ":asc", "name:asc:desc"] {
            assert_eq!(order(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_that_no_database_holds_are_refused() {
        let after = |seconds| {
            deployments(ListDeploymentsRequest {
                created_after: Some(seconds),
                ..Default::default()
            })
            .is_ok()
        };
        assert!(after(1_800_000_000));
        assert!(!after(i64::MAX) && !after(-1));
    }
}
