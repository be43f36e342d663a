//! Devices and auth sets.

use rota_proto::deviceauth::v1 as wire;
use rota_rest::devices as rest;

use super::{Malformed, object, time};
use crate::error::Problem;

/// The words of statuses. `noauth` is a device's alone.
const STATUSES: [(&str, rest::Status, wire::Status); 5] = [
    ("pending", rest::Status::Pending, wire::Status::Pending),
    ("accepted", rest::Status::Accepted, wire::Status::Accepted),
    ("rejected", rest::Status::Rejected, wire::Status::Rejected),
    ("preauthorized", rest::Status::Preauthorized, wire::Status::Preauthorized),
    ("noauth", rest::Status::Noauth, wire::Status::Noauth),
];

/// A status by its word.
pub(crate) fn status(word: &str) -> Result<wire::Status, Problem> {
    let status = STATUSES.iter().find(|(name, ..)| *name == word).map(|(.., status)| *status);
    status.ok_or_else(|| Problem::invalid(format!("unknown device status {word:?}")))
}

/// The status of an auth set by its word.
pub(crate) fn auth_set_status(word: &str) -> Result<wire::Status, Problem> {
    match status(word)? {
        wire::Status::Noauth => Err(Problem::invalid(r#"unknown auth set status "noauth""#)),
        status => Ok(status),
    }
}

/// Statuses by their words.
pub(crate) fn statuses<'a>(
    words: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<i32>, Problem> {
    words.into_iter().map(|word| status(word).map(i32::from)).collect()
}

fn status_to_rest(status: i32) -> Result<rest::Status, Malformed> {
    let known = STATUSES.iter().find(|(.., wire)| i32::from(*wire) == status);
    known.map(|(_, rest, _)| *rest).ok_or(Malformed("device status"))
}

/// The word for an auth set's status.
pub(crate) fn status_word(status: i32) -> Result<String, Malformed> {
    let known = STATUSES.iter().find(|(.., wire)| i32::from(*wire) == status);
    known.map(|(word, ..)| (*word).to_owned()).ok_or(Malformed("auth set status"))
}

/// A device with its auth sets.
pub(crate) fn device(device: wire::Device) -> Result<rest::Device, Malformed> {
    Ok(rest::Device {
        id: device.id,
        identity_data: object(&device.identity_data, "identity data")?,
        status: status_to_rest(device.status)?,
        created_ts: time::required(device.created, "device.created")?,
        updated_ts: time::required(device.updated, "device.updated")?,
        check_in_time: time::optional(device.check_in)?,
        auth_sets: device.auth_sets.into_iter().map(auth_set).collect::<Result<_, _>>()?,
        decommissioning: device.decommissioning,
    })
}

fn auth_set(set: wire::AuthSet) -> Result<rest::AuthSet, Malformed> {
    Ok(rest::AuthSet {
        id: set.id,
        device_id: set.device_id,
        identity_data: object(&set.identity_data, "identity data")?,
        pubkey: set.public_key,
        status: status_to_rest(set.status)?,
        ts: time::required(set.created, "auth_set.created")?,
    })
}

/// A preauthorisation; what it lacks is said here, what is wrong with the key there.
pub(crate) fn preauthorize(body: rest::Preauthorize) -> Result<wire::PreauthorizeRequest, Problem> {
    if body.identity_data.is_empty() {
        return Err(Problem::invalid("identity_data: cannot be blank"));
    }
    if body.pubkey.is_empty() {
        return Err(Problem::invalid("pubkey: cannot be blank"));
    }
    Ok(wire::PreauthorizeRequest {
        identity_data: serde_json::Value::Object(body.identity_data).to_string(),
        public_key: body.pubkey,
        force: body.force,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_words() {
        for (word, rest, wire) in STATUSES {
            assert_eq!(status(word).unwrap(), wire);
            assert_eq!(serde_json::to_value(rest).unwrap(), word);
            assert_eq!(status_to_rest(wire.into()), Ok(rest));
        }
        assert!(status("Accepted").is_err());
        assert!(auth_set_status("noauth").is_err());
        assert!(status_to_rest(0).is_err());
    }
}
