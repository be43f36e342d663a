//! Files that nobody but the client may open: its journal, locks, logs and keys.
//!
//! Some hold secrets; and whoever may read a file may lock it, and so keep the client from its
//! work. None of them goes by the umask, which belongs to whoever starts the client and to the
//! programs that it runs.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::io::Errno;

/// Of files: their owner reads and writes them.
pub(crate) const MODE: u32 = 0o600;

const FOLDER_MODE: u32 = 0o700;

const OTHERS_WRITE: u32 = 0o022;

/// Links and folders around a new one; the kernel follows as many links.
const MAX_STEPS: u32 = 40;

/// Opens a file to write to, with what is in it. One that is not there is made.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(File::options().create(true).truncate(false).write(true), path)
}

/// As [`open`], to write behind what is in it.
pub fn open_to_append(path: &Path) -> io::Result<File> {
    open_with(File::options().create(true).append(true), path)
}

/// Makes a file anew, to write to. One that had this name loses it, and is not written to.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => open_with(File::options().create_new(true).write(true), path),
    }
}

/// A new file has mode 0600, and one that is there gets it if others may open it.
fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(MODE).open(path)?;
    if is_wide(&file.metadata()?.permissions()) {
        // There are file systems without modes, and a device that they stop cannot be repaired
        // from afar.
        let _ = file.set_permissions(Permissions::from_mode(MODE));
    }
    Ok(file)
}

/// Whether anybody but the owner may do something with a file, or the owner run it.
pub(crate) fn is_wide(permissions: &Permissions) -> bool {
    permissions.mode() & 0o777 & !MODE != 0
}

/// Makes a folder with mode 0700 where there is none, and those around it as the umask has it. The
/// path may be a link that leads to nothing: on many devices the data folder is one, to a partition
/// that is empty at the first start and after a factory reset.
pub fn make_folder(path: &Path) -> io::Result<()> {
    make(path, FOLDER_MODE, MAX_STEPS)
}

/// Takes from others the right to write in a folder: whoever may do that can put files of his own
/// in the place of the client's. Gives the mode that the folder had, if that was so.
pub fn close_folder(path: &Path) -> io::Result<Option<u32>> {
    let permissions = fs::metadata(path)?.permissions();
    let mode = permissions.mode() & 0o7777;
    if mode & OTHERS_WRITE == 0 {
        return Ok(None);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS_WRITE))?;
    Ok(Some(mode))
}

fn make(path: &Path, mode: u32, steps_left: u32) -> io::Result<()> {
    let steps_left = steps_left.checked_sub(1).ok_or(Errno::LOOP)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    match DirBuilder::new().mode(mode).create(path) {
        // What is in it must not vanish together with its name when the power fails.
        Ok(()) => File::open(parent)?.sync_all(),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(parent, 0o777, steps_left)?;
            make(path, mode, steps_left)
        }
        Err(error) => match fs::read_link(path) {
            Ok(target) => make(&parent.join(target), mode, steps_left),
            // Something else has that name, or none can be made.
            Err(_) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_that_others_could_open_is_narrowed_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for open in [open, open_to_append] {
            fs::write(&path, "before").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o664)).unwrap();
            open(&path).unwrap();
            assert_eq!((mode(&path), &*fs::read(&path).unwrap()), (0o600, &b"before"[..]));
        }
        fs::set_permissions(&path, Permissions::from_mode(0o200)).unwrap();
        open_to_append(&path).unwrap().write_all(b" and after").unwrap();
        assert_eq!(mode(&path), 0o200, "nobody else could");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before and after");
    }

    #[test]
    fn a_file_that_is_made_anew_leaves_the_old_one_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("file"), folder.path().join("other"));
        fs::write(&path, "old").unwrap();
        fs::hard_link(&path, &other).unwrap();
        create(&path).unwrap().write_all(b"new").unwrap();
        assert_eq!((mode(&path), &*fs::read(&path).unwrap()), (0o600, &b"new"[..]));
        assert_eq!(fs::read(&other).unwrap(), b"old");
    }

    #[test]
    fn a_folder_is_made_for_its_owner_alone_and_one_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("around/it");
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        make_folder(&path).unwrap();
        assert_eq!(mode(&path), 0o755);
        fs::write(path.join("file"), "").unwrap();
        assert!(make_folder(&path.join("file")).is_err());
    }

    #[test]
    fn links_that_lead_to_nothing_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("lib")).unwrap();
        symlink("../data/mender", path("lib/mender")).unwrap();
        symlink(path("partition"), path("data")).unwrap();
        make_folder(&path("lib/mender")).unwrap();
        assert_eq!(mode(&path("partition/mender")), 0o700);
        make_folder(&path("lib/mender")).unwrap();

        symlink("two", path("one")).unwrap();
        symlink("one", path("two")).unwrap();
        assert!(make_folder(&path("one")).is_err(), "it leads to itself");
    }
}
