//! The journal in a real folder, which several processes share.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{Damage, Disk, DiskFile, Journal, JournalError, Store};
use crate::{private_files, records::Records};

pub(super) const LOCK: &str = "rota-journal.lock";
const CLAIM: &str = "rota-update.lock";

/// Far more than any journal needs.
const MAX_BYTES: u64 = 16 << 20;

/// For another process to write. It takes a moment, unless that process was stopped meanwhile.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// The folder itself.
#[derive(Debug)]
struct Folder(PathBuf);

impl Disk for Folder {
    type File = File;

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    fn create(&mut self, name: &str) -> io::Result<File> {
        private_files::create(&self.0.join(name))
    }

    fn sync_content(&mut self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The journal in a real folder, shared with other processes: the daemon and a command may both
/// change it, one after the other.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    journal: Journal<Folder>,
    /// Held while an update of this process is under way.
    claim: Option<File>,
}

impl FileStore {
    /// Uses the journal in `folder`, which exists.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let journal = Journal::new(Folder(folder.clone()), folder.display().to_string());
        Self { folder, journal, claim: None }
    }

    fn open(&self, name: &str) -> Result<File, JournalError> {
        private_files::open(&self.folder.join(name)).map_err(|source| self.write_error(source))
    }

    /// The file that whoever starts an update locks. On a read-only file system it can be locked if
    /// it is there; if not, nobody can make it, nor start an update: `None`.
    fn claim_file(&self) -> Result<Option<File>, JournalError> {
        match self.open(CLAIM) {
            Err(JournalError::Write { source, .. })
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                match File::open(self.folder.join(CLAIM)) {
                    Ok(file) => Ok(Some(file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(self.write_error(error)),
                }
            }
            opened => opened.map(Some),
        }
    }

    fn write_error(&self, source: io::Error) -> JournalError {
        JournalError::Write { place: self.folder.display().to_string(), source }
    }
}

/// Waits for another process to have written.
pub(super) fn lock(file: &File, patience: Duration) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if started.elapsed() >= patience => {
                let problem = "another process has it and does not go on";
                return Err(io::Error::new(io::ErrorKind::TimedOut, problem));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_LOOK),
        }
    }
}

impl Store for FileStore {
    /// Takes no lock, so that it also works on a read-only file system.
    fn read(&self) -> Result<Records, JournalError> {
        self.journal.read()
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let held_until_written = self.open(LOCK)?;
        lock(&held_until_written, LOCK_PATIENCE).map_err(|source| self.write_error(source))?;
        self.journal.change(change)
    }

    fn claim_update(&mut self) -> Result<bool, JournalError> {
        if self.claim.is_none()
            && let Some(file) = self.claim_file()?
        {
            match file.try_lock() {
                Ok(()) => self.claim = Some(file),
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(source)) => return Err(self.write_error(source)),
            }
        }
        Ok(true)
    }

    fn release_update(&mut self) {
        self.claim = None;
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        self.journal.take_damage()
    }
}
