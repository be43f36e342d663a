//! The header's documents: `header-info`, `type-info` and `meta-data`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    Error, HeaderDepends, PayloadHeader, PayloadType, ProvidesGlob,
    header::key::{ARTIFACT_GROUP, ARTIFACT_NAME, DEVICE_TYPE},
    json::Object,
    name,
};

const HEADER_INFO: &str = "header-info";
const TYPE_INFO: &str = "type-info";
const META_DATA: &str = "meta-data";

/// The document `header-info`.
pub(super) struct HeaderInfo {
    pub(super) artifact_name: String,
    pub(super) artifact_group: Option<String>,
    pub(super) depends: HeaderDepends,
    pub(super) payload_type: PayloadType,
}

/// Unknown fields are refused where mender-artifact refuses them: at the top and in
/// `artifact_provides`, but not in `artifact_depends`.
pub(super) fn read_header_info(bytes: &[u8]) -> Result<HeaderInfo, Error> {
    let mut info = Object::parse(HEADER_INFO, bytes)?;
    let payload_type = read_payload_type(&mut info)?;

    let mut provides = info
        .take_object("artifact_provides")?
        .ok_or_else(|| wrong(HEADER_INFO, "artifact_provides is missing"))?;
    let artifact_name = provides
        .take_string(ARTIFACT_NAME)?
        .ok_or_else(|| wrong(HEADER_INFO, "artifact_name is missing"))?;
    let artifact_group = provides.take_string(ARTIFACT_GROUP)?.filter(|group| !group.is_empty());
    provides.deny_others()?;

    let mut depends = info
        .take_object("artifact_depends")?
        .ok_or_else(|| wrong(HEADER_INFO, "artifact_depends is missing"))?;
    let depends = HeaderDepends {
        device_types: depends.take_strings(DEVICE_TYPE)?.unwrap_or_default(),
        artifact_names: depends.take_strings(ARTIFACT_NAME)?.unwrap_or_default(),
        artifact_groups: depends.take_strings(ARTIFACT_GROUP)?.unwrap_or_default(),
    };
    info.deny_others()?;
    if depends.device_types.is_empty() {
        return Err(wrong(HEADER_INFO, "it names no device_type"));
    }

    check_labels(ARTIFACT_NAME, [&artifact_name])?;
    check_labels(ARTIFACT_GROUP, &artifact_group)?;
    check_labels(DEVICE_TYPE, &depends.device_types)?;
    check_labels(ARTIFACT_NAME, &depends.artifact_names)?;
    check_labels(ARTIFACT_GROUP, &depends.artifact_groups)?;
    Ok(HeaderInfo { artifact_name, artifact_group, depends, payload_type })
}

fn read_payload_type(info: &mut Object) -> Result<PayloadType, Error> {
    let mut payloads =
        info.take_list("payloads")?.ok_or_else(|| wrong(HEADER_INFO, "payloads is missing"))?;
    let (Some(Value::Object(mut payload)), true) = (payloads.pop(), payloads.is_empty()) else {
        return match payloads.len() {
            0 => Err(Error::UnsupportedPayloadCount { found: 0 }),
            others => Err(Error::UnsupportedPayloadCount { found: others + 1 }),
        };
    };
    match payload.remove("type") {
        Some(Value::Null) => Ok(PayloadType::Empty),
        Some(Value::String(name)) => {
            name::check_payload_type(&name).map_err(|reason| wrong(HEADER_INFO, reason))?;
            Ok(PayloadType::Module(name))
        }
        _ => Err(wrong(HEADER_INFO, "the payload's type is neither a string nor null")),
    }
}

/// Reads `type-info` and `meta-data` of a payload that header-info calls `payload_type`.
pub(super) fn read_payload(
    payload_type: &PayloadType,
    type_info_json: Vec<u8>,
    meta_data_json: Option<Vec<u8>>,
) -> Result<PayloadHeader, Error> {
    let mut info = Object::parse(TYPE_INFO, &type_info_json)?;
    check_same_type(payload_type, info.take_string("type")?)?;
    let depends = read_depends(&mut info)?;
    let provides = read_provides(&mut info)?;
    let clears_provides = info.take_strings("clears_artifact_provides")?;
    for pattern in clears_provides.iter().flatten() {
        ProvidesGlob::new(pattern).map_err(|error| wrong(TYPE_INFO, error.to_string()))?;
    }

    if payload_type == &PayloadType::Empty && meta_data_json.is_some() {
        return Err(wrong(META_DATA, "an empty payload cannot have it"));
    }
    let meta_data_json = meta_data_json.unwrap_or_default();
    let meta_data = if meta_data_json.is_empty() {
        None
    } else {
        Some(Object::parse(META_DATA, &meta_data_json)?.into_fields())
    };
    Ok(PayloadHeader {
        payload_type: payload_type.clone(),
        depends,
        provides,
        clears_provides,
        meta_data,
        type_info_json,
        meta_data_json,
    })
}

/// Both documents name the type. mender-artifact 3.5 to 4.3 left it empty in the type-info of
/// root filesystem images, and such Artifacts are everywhere.
fn check_same_type(expected: &PayloadType, found: Option<String>) -> Result<(), Error> {
    let same = match found.as_deref() {
        Some("") => expected.is_rootfs_image(),
        found => found == expected.name(),
    };
    if same {
        return Ok(());
    }
    let found = PayloadType::from(found);
    Err(wrong(TYPE_INFO, format!("its type is {found}, but header-info says {expected}")))
}

fn read_depends(info: &mut Object) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let Some(depends) = info.take_object("artifact_depends")? else { return Ok(BTreeMap::new()) };
    deny_reserved("depends", &depends, &[ARTIFACT_NAME, ARTIFACT_GROUP, DEVICE_TYPE])?;
    let read = |(key, value): (String, Value)| {
        let values = match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| info.string(&key, value))
                .collect::<Result<_, _>>()?,
            value => vec![info.string(&key, value)?],
        };
        Ok((key, values))
    };
    depends.into_fields().into_iter().map(read).collect()
}

fn read_provides(info: &mut Object) -> Result<BTreeMap<String, String>, Error> {
    let Some(provides) = info.take_object("artifact_provides")? else { return Ok(BTreeMap::new()) };
    deny_reserved("provides", &provides, &[ARTIFACT_NAME, ARTIFACT_GROUP])?;
    let read = |(key, value): (String, Value)| {
        let value = info.string(&key, value)?;
        Ok((key, value))
    };
    provides.into_fields().into_iter().map(read).collect()
}

/// Servers merge these maps with header-info's; a key in both would have two meanings.
fn deny_reserved(what: &str, fields: &Object, reserved: &[&str]) -> Result<(), Error> {
    match reserved.iter().find(|key| fields.contains(key)) {
        None => Ok(()),
        Some(key) => Err(wrong(TYPE_INFO, format!("its {what} repeat {key} of header-info"))),
    }
}

fn check_labels<'a>(
    field: &str,
    labels: impl IntoIterator<Item = &'a String>,
) -> Result<(), Error> {
    labels.into_iter().try_for_each(|label| {
        name::check_label(label)
            .map_err(|reason| wrong(HEADER_INFO, format!("{field} {label:?}: {reason}")))
    })
}

fn wrong(document: &'static str, reason: impl Into<String>) -> Error {
    Error::Header { document, reason: reason.into() }
}
