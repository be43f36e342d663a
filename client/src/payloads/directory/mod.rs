//! `directory`: a whole folder, unpacked beside the old one and then exchanged with it, so that the
//! old or the new one is there at any instant.
//!
//! The payload holds `dest_dir` and `update.tar`. The old folder stays, hidden beside the new one,
//! until the update is over.
//!
//! Which of the two is which is told by the number of the new folder's inode, noted before the
//! exchange. On a file system without exchange the folder is missing between two renames; a power
//! cut there is mended by the rollback at the next start.

mod owners;
mod unpack;

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rota_artifact::Payload as PayloadFiles;
use serde::{Deserialize, Serialize};

pub(super) use owners::Owners;
pub(super) use unpack::{measure, unpack};

use super::{
    Payload, PayloadError, Workplace, disk,
    files::{self, refused},
    folders, notes,
};
use crate::{machine::Call, modules::Source, mounts};

const ARCHIVE: &str = "update.tar";

/// Beside the destination: what it is exchanged with, and the old one where that cannot be done.
const OTHER: &str = ".rota-other";
const OLD: &str = ".rota-old";

const NOTE: &str = "directory";
const STAGED: &str = "staged";
/// The update went one way or the other, and nobody needs the former folder any more.
const DECIDED: &str = "decided";

pub(super) struct Directory<'a> {
    workplace: Workplace<'a>,
}

/// What is about to be replaced; written before anything is.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    target: PathBuf,
    had_folder: bool,
    /// Folders that were created on the way, the outermost first.
    created: Vec<PathBuf>,
}

impl Note {
    fn other(&self) -> PathBuf {
        disk::beside(&self.target, OTHER)
    }

    fn old(&self) -> PathBuf {
        disk::beside(&self.target, OLD)
    }
}

impl<'a> Directory<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    fn open(&self) -> Result<File, PayloadError> {
        let path = self.workplace.file(ARCHIVE);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(refused(format!("it has no file {ARCHIVE}; the generator writes one")))
            }
            other => other.map_err(PayloadError::disk("open", &path)),
        }
    }

    /// Finds out what the destination is, and that it can be exchanged.
    fn look(&self) -> Result<Note, PayloadError> {
        let target = resolve(&files::destination(&self.workplace)?)?;
        let unfit = |reason: &str| {
            let place = target.display();
            Err(PayloadError::Device(format!("{place} cannot be replaced as a whole: {reason}")))
        };
        if target.parent().is_none() {
            return unfit("it is the root of the file system");
        }
        let tree = self.workplace.tree;
        let tree = tree.canonicalize().map_err(PayloadError::disk("look at", tree))?;
        if tree.starts_with(&target) || target.starts_with(&tree) {
            return unfit("the client keeps its own data there");
        }
        if let Some(point) = mounted_in(&target)? {
            return unfit(&format!("a file system is mounted on {}", point.display()));
        }
        let had_folder = target.exists();
        let created = folders::missing(disk::parent(&target)?)?;
        Ok(Note { target, had_folder, created })
    }

    fn install(&self) -> Result<(), PayloadError> {
        let note = self.look()?;
        let Note { target, had_folder, created } = &note;
        let (parent, other) = (disk::parent(target)?, note.other());
        if created.is_empty() {
            // Left by an update that could not be rolled back: must not pass for the former folder.
            discard(&note.old())?;
            discard(&other)?;
            disk::sync_folder(parent)?;
        }
        disk::remove(&self.workplace.notes().join(STAGED))?;
        notes::write(&self.workplace, NOTE, &note)?;
        folders::make(created)?;

        disk::check_space(parent, measure(self.open()?)?)?;
        disk::make_folder(&other)?;
        unpack(self.open()?, &other, &Owners::of_device())?;
        disk::sync_file_system(&other)?;
        notes::write(&self.workplace, STAGED, &disk::inode(&other)?)?;

        if *had_folder {
            self.exchange(&note)?;
        } else {
            disk::rename(&other, target)?;
        }
        disk::sync_folder(parent)
    }

    /// Brings the new folder into place and keeps the old one.
    fn exchange(&self, note: &Note) -> Result<(), PayloadError> {
        let (target, other) = (&note.target, note.other());
        match disk::exchange(&other, target) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.workplace.log.warning(format_args!(
                    "the file system of {} cannot exchange folders; it is missing for an instant",
                    target.display()
                ));
                disk::rename(target, &note.old())?;
                disk::rename(&other, target)
            }
            Err(PayloadError::Disk { source, .. })
                if source.kind() == ErrorKind::CrossesDevices =>
            {
                Err(PayloadError::Device(format!(
                    "{} comes from the lower layer of an overlay and cannot be replaced as a whole",
                    target.display()
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Works from every state that [`install`](Self::install), or itself, may have stopped in.
    fn roll_back(&self) -> Result<(), PayloadError> {
        notes::unmark(&self.workplace, DECIDED)?;
        let Some(note) = notes::read::<Note>(&self.workplace, NOTE)? else { return Ok(()) };
        let parent = disk::parent(&note.target)?;
        if disk::kind(parent)?.is_some() {
            if let Some(staged) = notes::read(&self.workplace, STAGED)? {
                put_back(&note, staged)?;
                // The new folder goes away only once the old one is in place for good.
                disk::sync_folder(parent)?;
            }
            discard(&note.other())?;
            disk::sync_folder(parent)?;
        }
        folders::remove(&note.created)?;
        notes::mark(&self.workplace, DECIDED)
    }

    fn clean_up(&self) -> Result<(), PayloadError> {
        let Some(note) = notes::read::<Note>(&self.workplace, NOTE)? else { return Ok(()) };
        if !notes::is_marked(&self.workplace, DECIDED) {
            self.workplace.log.warning(format_args!(
                "the former folder stays beside {}, as {OTHER} or {OLD}",
                note.target.display()
            ));
            return Ok(());
        }
        let parent = disk::parent(&note.target)?;
        if disk::kind(parent)?.is_some() {
            discard(&note.other())?;
            discard(&note.old())?;
            disk::sync_folder(parent)?;
        }
        Ok(())
    }
}

impl Payload for Directory<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        let stored = files::store(&self.workplace, payload)?;
        if let Some(other) =
            stored.keys().find(|file| !matches!(file.as_str(), ARCHIVE | "dest_dir"))
        {
            return Err(refused(format!("it has a file {other:?} that nothing asks for")));
        }
        let note = self.look()?;
        let needed_bytes = measure(self.open()?)?;
        disk::check_space(folders::existing(disk::parent(&note.target)?), needed_bytes)
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactRollback => self.roll_back(),
            Call::ArtifactCommit => notes::mark(&self.workplace, DECIDED),
            Call::Cleanup => self.clean_up(),
            _ => Ok(()),
        }
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        Ok(true)
    }
}

/// Puts the former folder, or its absence, in place; the new one is then the other.
fn put_back(note: &Note, staged: Option<u64>) -> Result<(), PayloadError> {
    let Note { target, had_folder, .. } = note;
    let (other, old) = (note.other(), note.old());
    let (at_target, at_other) = (disk::inode(target)?, disk::inode(&other)?);
    let is_old_aside = disk::kind(&old)?.is_some();
    if at_target.is_some() && at_target == staged {
        match (*had_folder, at_other.is_some()) {
            (false, _) => disk::rename(target, &other)?,
            (true, true) if disk::exchange(target, &other)? => {}
            (true, true) => {
                return Err(PayloadError::Device(format!(
                    "the file system of {} cannot exchange folders any more",
                    target.display()
                )));
            }
            (true, false) if is_old_aside => disk::rename(target, &other)?,
            (true, false) => {
                return Err(PayloadError::Device(format!(
                    "the former {} is gone; somebody removed it",
                    target.display()
                )));
            }
        }
    } else if at_other.is_some() && at_other != staged {
        return Err(PayloadError::Device(format!(
            "{} is neither the former nor the new folder; both stay as they are",
            target.display()
        )));
    }
    if is_old_aside {
        disk::rename(&old, target)?;
    }
    Ok(())
}

fn mounted_in(folder: &Path) -> Result<Option<PathBuf>, PayloadError> {
    mounts::first_in(folder).map_err(PayloadError::disk("look for file systems in", folder))
}

/// Removes a folder beside the destination, unless something is mounted in it by now.
fn discard(folder: &Path) -> Result<(), PayloadError> {
    match mounted_in(folder)? {
        None => disk::remove_tree(folder),
        Some(point) => Err(PayloadError::Device(format!(
            "{} stays, because a file system is mounted on {}",
            folder.display(),
            point.display()
        ))),
    }
}

/// The destination without links: what a link to a folder leads to is replaced, the link stays.
fn resolve(path: &Path) -> Result<PathBuf, PayloadError> {
    let existing = path.ancestors().find(|path| path.symlink_metadata().is_ok());
    let existing = existing.unwrap_or(Path::new("/"));
    let real = existing.canonicalize().map_err(PayloadError::disk("look at", existing))?;
    if !real.is_dir() {
        return Err(PayloadError::Device(format!("{} is not a folder", existing.display())));
    }
    let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
    Ok(real.join(rest).components().collect())
}
