//! The files of a payload: stored in the work tree while they stream, and read from there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rota_artifact::Payload as PayloadFiles;
use serde_json::{Map, Value};

use super::{PayloadError, Workplace, disk};
use crate::modules::Source;

/// Files that say where something goes, and the like.
const MAX_TEXT_BYTES: u64 = 8192;

impl Workplace<'_> {
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.files().join(name)
    }

    pub(super) fn files(&self) -> PathBuf {
        self.tree.join("files")
    }
}

/// Stores all files, synced, under their names; returns their sizes in bytes.
pub(super) fn store(
    workplace: &Workplace<'_>,
    files: &mut PayloadFiles<'_, Source>,
) -> Result<BTreeMap<String, u64>, PayloadError> {
    let folder = workplace.files();
    let mut stored = BTreeMap::new();
    while let Some(mut file) = files.next_file()? {
        disk::check_space(&folder, file.size_bytes())?;
        let mut copy = disk::create(&folder.join(file.name()), 0o600)?;
        copy.copy_from(&mut file)?;
        copy.sync()?;
        stored.insert(file.name().to_owned(), file.size_bytes());
    }
    disk::sync_folder(&folder)?;
    Ok(stored)
}

/// The text of a small file without line feeds at its end; `None` if there is no such file.
pub(super) fn text(workplace: &Workplace<'_>, name: &str) -> Result<Option<String>, PayloadError> {
    let path = workplace.file(name);
    let Some(metadata) = disk::kind(&path)? else { return Ok(None) };
    if metadata.len() > MAX_TEXT_BYTES {
        return Err(refused(format!("its file {name} is longer than {MAX_TEXT_BYTES} bytes")));
    }
    let bytes = fs::read(&path).map_err(PayloadError::disk("read", &path))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| refused(format!("its file {name} is not text in UTF-8")))?;
    Ok(Some(text.trim_end_matches('\n').to_owned()))
}

/// As [`text`], of a file that must be there and say something, in one line.
pub(super) fn line(workplace: &Workplace<'_>, name: &str) -> Result<String, PayloadError> {
    let line = text(workplace, name)?
        .ok_or_else(|| refused(format!("it has no file {name}; the generator writes one")))?;
    if line.is_empty() || line.contains(char::is_control) {
        return Err(refused(format!("its file {name} must hold one line, not {line:?}")));
    }
    Ok(line)
}

/// Where something goes: an absolute path without `..`.
pub(super) fn destination(workplace: &Workplace<'_>) -> Result<PathBuf, PayloadError> {
    let text = line(workplace, "dest_dir")?;
    let path = Path::new(&text);
    let leads_back = path.components().any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || leads_back {
        return Err(refused(format!(
            "its dest_dir must be an absolute path without .., not {text:?}"
        )));
    }
    // Without doubled slashes, dots, and a slash at the end.
    Ok(path.components().collect())
}

/// The meta-data of the payload, which is an object or absent.
pub(super) fn meta_data(workplace: &Workplace<'_>) -> Result<Map<String, Value>, PayloadError> {
    let path = workplace.tree.join("header/meta-data");
    if disk::kind(&path)?.is_none() {
        return Ok(Map::new());
    }
    let bytes = fs::read(&path).map_err(PayloadError::disk("read", &path))?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(format!("its meta-data is not a JSON object: {error}")))
}

/// A text in the meta-data; `None` if there is none.
pub(super) fn text_of<'a>(
    meta_data: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a str>, PayloadError> {
    match meta_data.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(refused(format!("{key} in its meta-data must be text, not {other}"))),
    }
}

/// A switch in the meta-data, off unless it is there.
pub(super) fn flag_of(meta_data: &Map<String, Value>, key: &str) -> Result<bool, PayloadError> {
    match meta_data.get(key) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => {
            Err(refused(format!("{key} in its meta-data must be true or false, not {other}")))
        }
    }
}

pub(super) fn refused(reason: impl Into<String>) -> PayloadError {
    PayloadError::Refused(reason.into())
}
