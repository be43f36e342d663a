//! The files of the environment, written in place.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Small files in one folder. A real folder, or one that loses power.
pub trait EnvFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Overwrites a file where it is, and waits until that is on the disk. If the power fails, each
    /// of its sectors may be old or new.
    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// For messages.
    fn place(&self) -> String;
}

/// Files in a folder of a file system.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl EnvFiles for Files {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(path))
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(path);
        match File::options().write(true).open(&path) {
            Ok(file) if file.metadata()?.len() == bytes.len() as u64 => {
                file.write_all_at(bytes, 0)?;
                file.sync_data()
            }
            Ok(_) => create(&path, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(&path, bytes),
            Err(error) => Err(error),
        }
    }

    fn place(&self) -> String {
        self.folder.display().to_string()
    }
}

/// Somebody else's half-finished change left no file, or one of another size.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::create(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
