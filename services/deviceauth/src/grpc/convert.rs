//! Wire types to the model's and back.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use rota_auth::DeviceKey;
use rota_proto::deviceauth::v1 as pb;
use rota_types::{AuthSetId, DeviceId, MAX_PER_PAGE, Page};

use crate::{
    app::NewPreauthorization,
    error::Error,
    model::{AuthSet, AuthSetStatus, Device, DeviceStatus, Identity, Refused},
    store::{Known, Selection},
};

/// A device that cannot exist is one that is not found.
pub(super) fn device_id(text: &str) -> Result<DeviceId, Error> {
    text.parse().map_err(|_| Error::DeviceNotFound)
}

/// A device and one of its auth sets.
pub(super) fn pair(device: &str, auth_set: &str) -> Result<(DeviceId, AuthSetId), Error> {
    let device = device_id(device)?;
    Ok((device, auth_set.parse().map_err(|_| Refused::UnknownAuthSet)?))
}

/// A device token's id is that of its auth set.
pub(super) fn token_id(text: &str) -> Result<AuthSetId, Error> {
    text.parse().map_err(|_| Error::TokenNotFound)
}

/// A status that a person may give.
pub(super) fn auth_set_status(status: i32) -> Result<AuthSetStatus, Error> {
    match pb::Status::try_from(status) {
        Ok(pb::Status::Pending) => Ok(AuthSetStatus::Pending),
        Ok(pb::Status::Accepted) => Ok(AuthSetStatus::Accepted),
        Ok(pb::Status::Rejected) => Ok(AuthSetStatus::Rejected),
        Ok(pb::Status::Preauthorized) => Ok(AuthSetStatus::Preauthorized),
        Ok(pb::Status::Unspecified | pb::Status::Noauth) | Err(_) => Err(Error::Status),
    }
}

pub(super) fn device_statuses(statuses: &[i32]) -> Result<Vec<DeviceStatus>, Error> {
    let status = |status: &i32| match pb::Status::try_from(*status) {
        Ok(pb::Status::Noauth) => Ok(DeviceStatus::NoAuth),
        _ => auth_set_status(*status).map(DeviceStatus::Best),
    };
    statuses.iter().map(status).collect()
}

pub(super) fn selection(request: &pb::ListDevicesRequest) -> Result<(Selection, Page), Error> {
    let page = Page::new(request.page, request.per_page, MAX_PER_PAGE)?;
    let statuses = device_statuses(&request.statuses)?;
    let ids = match request.ids.as_slice() {
        [] => None,
        ids => Some(ids.iter().filter_map(|id| id.parse().ok()).collect()),
    };
    Ok((Selection { statuses, ids }, page))
}

pub(super) fn preauthorization(
    request: &pb::PreauthorizeRequest,
) -> Result<NewPreauthorization, Error> {
    Ok(NewPreauthorization {
        identity: Identity::parse(&request.identity_data)?,
        key: DeviceKey::from_pem(&request.public_key)?,
        known: if request.force { Known::Extended } else { Known::Refused },
    })
}

pub(super) fn status(status: AuthSetStatus) -> pb::Status {
    match status {
        AuthSetStatus::Pending => pb::Status::Pending,
        AuthSetStatus::Accepted => pb::Status::Accepted,
        AuthSetStatus::Rejected => pb::Status::Rejected,
        AuthSetStatus::Preauthorized => pb::Status::Preauthorized,
    }
}

fn device_status(of: DeviceStatus) -> pb::Status {
    match of {
        DeviceStatus::NoAuth => pb::Status::Noauth,
        DeviceStatus::Best(best) => status(best),
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}

impl From<Device> for pb::Device {
    fn from(device: Device) -> Self {
        let identity_data = serde_json::Value::from(device.identity.data().clone()).to_string();
        let auth_sets = device.auth_sets.into_iter();
        let auth_sets = auth_sets.map(|set| auth_set(set, device.id, &identity_data)).collect();
        Self {
            id: device.id.to_string(),
            status: device_status(device.status).into(),
            created: Some(timestamp(device.created)),
            updated: Some(timestamp(device.updated)),
            check_in: device.check_in.map(timestamp),
            auth_sets,
            decommissioning: device.decommissioning,
            identity_data,
        }
    }
}

fn auth_set(set: AuthSet, device: DeviceId, identity_data: &str) -> pb::AuthSet {
    pb::AuthSet {
        id: set.id.to_string(),
        device_id: device.to_string(),
        identity_data: identity_data.to_owned(),
        public_key: set.public_key,
        status: status(set.status).into(),
        created: Some(timestamp(set.created)),
    }
}
