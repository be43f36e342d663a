//! What payload types do to the disk: every function is one step, and the power may fail between
//! any two.
//!
//! A file is there after a power cut only if it was synced, and its name only if its folder was;
//! nothing here syncs by itself unless it says so.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT, Uid,
};

use super::PayloadError;

const CHUNK_BYTES: usize = 256 << 10;

/// One change of the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Create(&'a Path),
    Write(&'a Path),
    Sync(&'a Path),
    SyncFolder(&'a Path),
    SyncFileSystem(&'a Path),
    Link { from: &'a Path, to: &'a Path },
    Rename { from: &'a Path, to: &'a Path },
    Exchange { from: &'a Path, to: &'a Path },
    MakeFolder(&'a Path),
    SetAttributes(&'a Path),
    Remove(&'a Path),
    RemoveTree(&'a Path),
    RemoveFolder(&'a Path),
}

impl Step<'_> {
    /// What is being done, to what.
    fn describe(self) -> (&'static str, String) {
        let one = |path: &Path| path.display().to_string();
        let two = |from: &Path, to: &Path| format!("{} to {}", from.display(), to.display());
        match self {
            Self::Create(path) => ("create", one(path)),
            Self::Write(path) => ("write", one(path)),
            Self::Sync(path) | Self::SyncFolder(path) | Self::SyncFileSystem(path) => {
                ("sync", one(path))
            }
            Self::Link { from, to } => ("link", two(from, to)),
            Self::Rename { from, to } => ("rename", two(from, to)),
            Self::Exchange { from, to } => ("exchange", two(from, to)),
            Self::MakeFolder(path) => ("create the folder", one(path)),
            Self::SetAttributes(path) => ("set owner and mode of", one(path)),
            Self::Remove(path) | Self::RemoveTree(path) | Self::RemoveFolder(path) => {
                ("remove", one(path))
            }
        }
    }
}

/// Takes a step; tests make it fail, or cut the power before it.
fn take<T>(step: Step<'_>, act: impl FnOnce() -> io::Result<T>) -> Result<T, PayloadError> {
    #[cfg(test)]
    let outcome = super::tests::faults::before(step).and_then(|()| act());
    #[cfg(not(test))]
    let outcome = act();
    outcome.map_err(|source| {
        let (doing, path) = step.describe();
        PayloadError::Disk { doing, path, source }
    })
}

/// A file that is being written.
pub(super) struct NewFile {
    file: File,
    path: PathBuf,
}

/// Creates a file, which must not be there; a link in its place is not followed.
pub(super) fn create(path: &Path, mode: u32) -> Result<NewFile, PayloadError> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = File::options();
    options.create_new(true).write(true).mode(mode).custom_flags(no_follow);
    let file = take(Step::Create(path), || options.open(path))?;
    Ok(NewFile { file, path: path.to_owned() })
}

impl NewFile {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PayloadError> {
        let Self { file, path } = self;
        take(Step::Write(path), || file.write_all(bytes))
    }

    /// Writes everything that `source` has.
    pub(super) fn copy_from(&mut self, source: &mut dyn Read) -> Result<(), PayloadError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(rota_artifact::Error::from_read(error).into()),
            }
        }
    }

    pub(super) fn sync(self) -> Result<(), PayloadError> {
        take(Step::Sync(&self.path), || self.file.sync_all())
    }
}

/// Gives a second name to what is there; a link is not followed.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), PayloadError> {
    take(Step::Link { from, to }, || Ok(rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?))
}

/// Renames within one folder, over what has that name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), PayloadError> {
    take(Step::Rename { from, to }, || fs::rename(from, to))
}

/// Lets two things change places at once; `false` if the file system cannot do that.
pub(super) fn exchange(from: &Path, to: &Path) -> Result<bool, PayloadError> {
    let outcome = take(Step::Exchange { from, to }, || {
        Ok(rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)?)
    });
    match outcome {
        Ok(()) => Ok(true),
        Err(PayloadError::Disk { source, .. })
            if matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Creates a folder for its owner alone; it must not be there.
pub(super) fn make_folder(path: &Path) -> Result<(), PayloadError> {
    use std::os::unix::fs::DirBuilderExt;
    take(Step::MakeFolder(path), || fs::DirBuilder::new().mode(0o700).create(path))
}

/// Creates a symbolic link, which must not be there.
pub(super) fn make_symlink(target: &Path, path: &Path) -> Result<(), PayloadError> {
    take(Step::Create(path), || std::os::unix::fs::symlink(target, path))
}

/// Creates a FIFO or a device node, which must not be there.
pub(super) fn make_node(path: &Path, kind: FileType, device: u64) -> Result<(), PayloadError> {
    let mode = Mode::RUSR | Mode::WUSR;
    take(Step::Create(path), || Ok(rustix::fs::mknodat(CWD, path, kind, mode, device)?))
}

/// Owner, permissions and time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: i64,
}

/// Sets the attributes, the owner only as root; a link is not followed, and has no permissions of
/// its own.
pub(super) fn set_attributes(
    path: &Path,
    attributes: Attributes,
    is_link: bool,
) -> Result<(), PayloadError> {
    let Attributes { uid, gid, mode, modified } = attributes;
    take(Step::SetAttributes(path), || {
        let no_follow = AtFlags::SYMLINK_NOFOLLOW;
        if rustix::process::geteuid().is_root() {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            rustix::fs::chownat(CWD, path, Some(uid), Some(gid), no_follow)?;
        }
        if !is_link {
            // After the owner, whose change takes the set-user-id bit away.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: modified, tv_nsec: 0 },
        };
        Ok(rustix::fs::utimensat(CWD, path, &times, no_follow)?)
    })
}

/// Sets the permissions alone.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), PayloadError> {
    take(Step::SetAttributes(path), || fs::set_permissions(path, fs::Permissions::from_mode(mode)))
}

/// Removes a file or link; that there is none is fine.
pub(super) fn remove(path: &Path) -> Result<(), PayloadError> {
    take(Step::Remove(path), || absent_is_fine(fs::remove_file(path)))
}

/// Removes whatever is there, with all that is in it; that there is nothing is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), PayloadError> {
    match kind(path)? {
        None => Ok(()),
        Some(kind) if kind.is_dir() => {
            take(Step::RemoveTree(path), || absent_is_fine(fs::remove_dir_all(path)))
        }
        Some(_) => remove(path),
    }
}

/// Removes a folder if it is empty.
pub(super) fn remove_if_empty(path: &Path) -> Result<(), PayloadError> {
    take(Step::RemoveFolder(path), || match fs::remove_dir(path) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        other => absent_is_fine(other),
    })
}

/// Waits until the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), PayloadError> {
    take(Step::SyncFolder(path), || File::open(path)?.sync_all())
}

/// Waits until everything on the file system that holds `path` is on the disk.
pub(super) fn sync_file_system(path: &Path) -> Result<(), PayloadError> {
    take(Step::SyncFileSystem(path), || Ok(rustix::fs::syncfs(File::open(path)?)?))
}

/// What is at a path, if anything is; a link is not followed.
pub(super) fn kind(path: &Path) -> Result<Option<fs::Metadata>, PayloadError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PayloadError::disk("look at", path)(error)),
    }
}

/// The number by which a file system knows what is at a path.
pub(super) fn inode(path: &Path) -> Result<Option<u64>, PayloadError> {
    Ok(kind(path)?.map(|metadata| metadata.ino()))
}

/// The folder that holds a path.
pub(super) fn parent(path: &Path) -> Result<&Path, PayloadError> {
    path.parent().ok_or_else(|| PayloadError::Device(format!("{} has no parent", path.display())))
}

/// A hidden neighbour of `path`, for use while it is being replaced.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_else(|| OsStr::new("")));
    name.push(suffix);
    path.with_file_name(name)
}

/// Refuses what does not fit on the file system that holds `folder`.
pub(super) fn check_space(folder: &Path, needed_bytes: u64) -> Result<(), PayloadError> {
    let found = rustix::fs::statvfs(folder)
        .map_err(|error| PayloadError::disk("look at", folder)(error.into()))?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    if needed_bytes > free_bytes {
        return Err(PayloadError::Device(format!(
            "{} needs {needed_bytes} bytes of free space and has {free_bytes}",
            folder.display()
        )));
    }
    Ok(())
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
