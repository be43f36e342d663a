//! `single-file`: one file, put in place by a rename, so that the old or the new one is there at
//! any instant.
//!
//! The payload holds `dest_dir`, `filename`, `permissions` (octal; may be missing) and the file.
//! The former file, or link, keeps a second, hidden name beside the new one until the update is
//! over; rolling back renames it back, so that everything about it is as it was.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rota_artifact::Payload as PayloadFiles;
use serde::{Deserialize, Serialize};

use super::{
    Payload, PayloadError, Workplace, disk,
    files::{self, refused},
    folders, notes,
};
use crate::{machine::Call, modules::Source};

const NEW: &str = ".rota-new";
const OLD: &str = ".rota-old";
const PART: &str = ".rota-old-part";

/// Longest file name of common file systems, less what the names beside it have more.
const MAX_NAME_BYTES: usize = 255 - ".".len() - PART.len();

const NOTE: &str = "single-file";
/// The update went one way or the other, and nobody needs the former file any more.
const DECIDED: &str = "decided";

/// Who has no former file to copy and no wish of the payload's to follow.
const DEFAULT_MODE: u32 = 0o600;

pub(super) struct SingleFile<'a> {
    workplace: Workplace<'a>,
}

/// What is about to be replaced; written before anything is.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    had_file: bool,
    /// Folders that were created on the way, the outermost first.
    created: Vec<PathBuf>,
}

/// What the payload asks for.
struct Plan {
    content: PathBuf,
    size_bytes: u64,
    mode: Option<u32>,
    folder: PathBuf,
    target: PathBuf,
}

impl<'a> SingleFile<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    fn plan(&self) -> Result<Plan, PayloadError> {
        let folder = files::destination(&self.workplace)?;
        let name = files::line(&self.workplace, "filename")?;
        if name.contains('/') || name == "." || name == ".." || name.len() > MAX_NAME_BYTES {
            return Err(refused(format!(
                "its filename must be the plain name of a file, up to {MAX_NAME_BYTES} bytes, \
                 not {name:?}"
            )));
        }
        let content = self.workplace.file(&name);
        let size_bytes = disk::kind(&content)?
            .ok_or_else(|| refused(format!("its filename is {name:?}, but no such file is in it")))?
            .len();
        let mode = files::text(&self.workplace, "permissions")?.map(|text| mode(&text));
        Ok(Plan { content, size_bytes, mode: mode.transpose()?, target: folder.join(name), folder })
    }

    fn install(&self) -> Result<(), PayloadError> {
        let plan = self.plan()?;
        let Plan { folder, target, .. } = &plan;
        let (new, old) = (disk::beside(target, NEW), disk::beside(target, OLD));
        let former = check_target(target)?;
        if disk::kind(folder)?.is_some() {
            // Left by an update that could not be rolled back: must not pass for the former file.
            for stale in [&new, &old, &disk::beside(target, PART)] {
                disk::remove(stale)?;
            }
            disk::sync_folder(folder)?;
        }
        let created = folders::missing(folder)?;
        notes::write(
            &self.workplace,
            NOTE,
            &Note { had_file: former.is_some(), created: created.clone() },
        )?;
        folders::make(&created)?;

        disk::check_space(folder, plan.size_bytes)?;
        let former_mode = former.filter(fs::Metadata::is_file).map(|file| file.mode() & 0o7777);
        let mode = plan.mode.or(former_mode).unwrap_or(DEFAULT_MODE);
        copy(&plan.content, &new, mode)?;
        if disk::kind(target)?.is_some() {
            keep(target, &old)?;
            disk::sync_folder(folder)?;
        }
        disk::rename(&new, target)?;
        disk::sync_folder(folder)
    }

    /// Works from every state that [`install`](Self::install), or itself, may have stopped in.
    fn roll_back(&self) -> Result<(), PayloadError> {
        notes::unmark(&self.workplace, DECIDED)?;
        let Some(Note { had_file, created }) = notes::read(&self.workplace, NOTE)? else {
            return Ok(());
        };
        let Plan { folder, target, .. } = self.plan()?;
        let (new, old) = (disk::beside(&target, NEW), disk::beside(&target, OLD));
        if disk::kind(&folder)?.is_some() {
            disk::remove(&new)?;
            if !had_file {
                disk::remove(&target)?;
            } else if disk::kind(&old)?.is_some() {
                disk::rename(&old, &target)?;
                // A rename leaves both names of one and the same file.
                disk::remove(&old)?;
            }
            disk::sync_folder(&folder)?;
        }
        folders::remove(&created)?;
        notes::mark(&self.workplace, DECIDED)
    }

    fn clean_up(&self) -> Result<(), PayloadError> {
        if notes::read::<Note>(&self.workplace, NOTE)?.is_none() {
            return Ok(());
        }
        let Plan { folder, target, .. } = self.plan()?;
        let old = disk::beside(&target, OLD);
        if !notes::is_marked(&self.workplace, DECIDED) {
            if disk::kind(&old)?.is_some() {
                self.workplace
                    .log
                    .warning(format_args!("the former file stays as {}", old.display()));
            }
            return Ok(());
        }
        if disk::kind(&folder)?.is_some() {
            disk::remove(&old)?;
            disk::remove(&disk::beside(&target, NEW))?;
            disk::remove(&disk::beside(&target, PART))?;
            disk::sync_folder(&folder)?;
        }
        Ok(())
    }
}

impl Payload for SingleFile<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        let stored = files::store(&self.workplace, payload)?;
        let Plan { folder, target, size_bytes, .. } = self.plan()?;
        let name = target.file_name().unwrap_or_default();
        let known = |file: &str| matches!(file, "dest_dir" | "filename" | "permissions");
        if let Some(other) = stored.keys().find(|file| !known(file) && name != file.as_str()) {
            return Err(refused(format!("it has a file {other:?} that nothing asks for")));
        }
        check_target(&target)?;
        disk::check_space(folders::existing(&folder), size_bytes)
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

fn mode(text: &str) -> Result<u32, PayloadError> {
    let octal = matches!(text.len(), 3..=4).then(|| u32::from_str_radix(text, 8).ok()).flatten();
    octal.ok_or_else(|| {
        refused(format!("its permissions must be three or four octal digits, not {text:?}"))
    })
}

/// What is to be replaced: a file, a link, or nothing.
fn check_target(target: &Path) -> Result<Option<fs::Metadata>, PayloadError> {
    let former = match disk::kind(target) {
        Err(PayloadError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
            return Err(PayloadError::Device(format!(
                "{} leads through something that is not a folder",
                target.display()
            )));
        }
        other => other?,
    };
    match &former {
        Some(found) if !found.is_file() && !found.is_symlink() => Err(PayloadError::Device(
            format!("{} is neither a file nor a link, and stays as it is", target.display()),
        )),
        _ => Ok(former),
    }
}

/// Gives the former file a second name. On file systems without hard links it is copied, under a
/// third name until the copy is complete.
fn keep(target: &Path, old: &Path) -> Result<(), PayloadError> {
    use io::ErrorKind::{PermissionDenied, TooManyLinks, Unsupported};
    match disk::link(target, old) {
        Err(PayloadError::Disk { source, .. })
            if matches!(source.kind(), PermissionDenied | TooManyLinks | Unsupported) =>
        {
            let former =
                fs::symlink_metadata(target).map_err(PayloadError::disk("look at", target))?;
            let part = disk::beside(target, PART);
            disk::remove(&part)?;
            copy(target, &part, former.mode() & 0o7777)?;
            disk::rename(&part, old)
        }
        other => other,
    }
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), PayloadError> {
    let mut source = File::open(from).map_err(PayloadError::disk("open", from))?;
    let mut file = disk::create(to, 0o600)?;
    file.copy_from(&mut source)?;
    disk::set_mode(to, mode)?;
    file.sync()
}
