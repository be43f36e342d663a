//! Folders on the way to what is installed, created where they are missing.

use std::path::{Path, PathBuf};

use super::{PayloadError, disk};

/// The innermost folder on the way that is there.
pub(super) fn existing(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// The folders on the way that are not there, the outermost first.
pub(super) fn missing(folder: &Path) -> Result<Vec<PathBuf>, PayloadError> {
    let existing = existing(folder);
    if !existing.is_dir() {
        return Err(PayloadError::Device(format!("{} is not a folder", existing.display())));
    }
    let ancestors = folder.ancestors().take_while(|folder| *folder != existing);
    let mut missing: Vec<_> = ancestors.map(Path::to_owned).collect();
    missing.reverse();
    Ok(missing)
}

/// Creates them, the outermost first, synced.
pub(super) fn make(folders: &[PathBuf]) -> Result<(), PayloadError> {
    for folder in folders {
        make_readable(folder)?;
        disk::sync_folder(disk::parent(folder)?)?;
    }
    Ok(())
}

/// Creates a folder that everybody may look into. What is installed is for the whole system,
/// however careful the umask is with which a person or a unit has started the client.
pub(super) fn make_readable(path: &Path) -> Result<(), PayloadError> {
    disk::make_folder(path)?;
    disk::set_mode(path, 0o755)
}

/// Removes those that [`make`] created and nobody else uses.
pub(super) fn remove(folders: &[PathBuf]) -> Result<(), PayloadError> {
    for folder in folders.iter().rev() {
        disk::remove_if_empty(folder)?;
    }
    match folders.first() {
        Some(outermost) => disk::sync_folder(disk::parent(outermost)?),
        None => Ok(()),
    }
}
