//! What a payload type must remember across a power cut, in the work tree.

use std::{fs, io::ErrorKind};

use serde::{Serialize, de::DeserializeOwned};

use super::{PayloadError, Workplace, disk};

/// Writes a note; when this returns it is on the disk, and after a power cut either the old or
/// the new one is there.
pub(super) fn write(
    workplace: &Workplace<'_>,
    name: &str,
    note: &impl Serialize,
) -> Result<(), PayloadError> {
    let folder = workplace.notes();
    let (path, unfinished) = (folder.join(name), folder.join(format!("{name}.new")));
    let text = serde_json::to_vec(note)
        .map_err(|error| PayloadError::disk("write", &path)(error.into()))?;
    disk::remove(&unfinished)?;
    let mut file = disk::create(&unfinished, 0o600)?;
    file.write(&text)?;
    file.sync()?;
    disk::rename(&unfinished, &path)?;
    disk::sync_folder(&folder)
}

/// Reads a note; `None` if it was never written.
pub(super) fn read<T: DeserializeOwned>(
    workplace: &Workplace<'_>,
    name: &str,
) -> Result<Option<T>, PayloadError> {
    let path = workplace.notes().join(name);
    let failed = PayloadError::disk("read", &path);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Marks something as done.
pub(super) fn mark(workplace: &Workplace<'_>, name: &str) -> Result<(), PayloadError> {
    write(workplace, name, &true)
}

/// Takes a mark back.
pub(super) fn unmark(workplace: &Workplace<'_>, name: &str) -> Result<(), PayloadError> {
    disk::remove(&workplace.notes().join(name))?;
    disk::sync_folder(&workplace.notes())
}

pub(super) fn is_marked(workplace: &Workplace<'_>, name: &str) -> bool {
    workplace.notes().join(name).exists()
}
