//! The journal: one small file that survives a power cut at any instant.
//!
//! The whole content is written anew each time: into a new file, which is synced and only then
//! takes the old one's place; the old one is kept. Each file carries a sequence number and a
//! checksum, so a torn or damaged one is recognised and the best of the others is read.

use std::{
    fmt::Write as _,
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::PathBuf,
};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::records::Records;

const CURRENT: &str = "rota-journal";
const NEW: &str = "rota-journal.new";
const PREVIOUS: &str = "rota-journal.previous";
const LOCK: &str = "rota-journal.lock";
const CLAIM: &str = "rota-update.lock";

/// Far more than any journal needs.
const MAX_BYTES: u64 = 16 << 20;

/// First word of the file; a later format gets another number.
const MAGIC: &str = "rota-journal-1";

/// Where the journal's files lie. A real folder, or one that loses power.
pub trait Disk {
    /// The content of a file, `None` if there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Writes a file and waits until its content is on the disk.
    fn write_synced(&mut self, name: &str, content: &[u8]) -> io::Result<()>;
    /// Renames a file over another.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Waits until all names are on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Reading or writing the journal went wrong.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot read the journal in {place}")]
    Read { place: String, source: io::Error },
    #[error("cannot write the journal in {place}")]
    Write { place: String, source: io::Error },
}

/// Keeps the device's [`Records`].
pub trait Store {
    fn read(&self) -> Result<Records, JournalError>;
    /// Changes the records in one step: afterwards either all of the change is on the disk or none.
    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError>;
    /// Keeps other processes from starting an update; `false` if one of them has.
    fn claim_update(&mut self) -> Result<bool, JournalError>;
    /// Lets other processes start updates again.
    fn release_update(&mut self);
}

#[derive(Serialize, Deserialize)]
struct Entry {
    sequence: u64,
    records: Records,
}

/// The journal on a [`Disk`].
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    place: String,
}

impl<D: Disk> Journal<D> {
    /// `place` names the disk in errors.
    pub fn new(disk: D, place: impl Into<String>) -> Self {
        Self { disk, place: place.into() }
    }

    fn entry(&self, name: &str) -> Result<Option<Entry>, JournalError> {
        let content = self
            .disk
            .read(name)
            .map_err(|source| JournalError::Read { place: self.place.clone(), source })?;
        Ok(content.as_deref().and_then(decode))
    }

    /// The newest sound entry and the file it is in. A complete new file that had not yet taken its
    /// place counts: nothing was done on its strength, but nothing speaks against it either.
    fn newest(&self) -> Result<Option<(&'static str, Entry)>, JournalError> {
        let mut newest: Option<(&'static str, Entry)> = None;
        for name in [CURRENT, NEW, PREVIOUS] {
            let Some(entry) = self.entry(name)? else { continue };
            if newest.as_ref().is_none_or(|(_, best)| entry.sequence > best.sequence) {
                newest = Some((name, entry));
            }
        }
        Ok(newest)
    }

    fn write(&mut self, newest_is_in: Option<&str>, content: &[u8]) -> io::Result<()> {
        // Never write into the file that holds the truth.
        if newest_is_in == Some(NEW) {
            self.disk.rename(NEW, CURRENT)?;
            self.disk.sync()?;
        }
        self.disk.write_synced(NEW, content)?;
        if matches!(newest_is_in, Some(NEW | CURRENT)) {
            self.disk.rename(CURRENT, PREVIOUS)?;
        }
        self.disk.rename(NEW, CURRENT)?;
        self.disk.sync()
    }
}

impl<D: Disk> Journal<D> {
    /// The records, or empty ones if there is no journal.
    pub fn read(&self) -> Result<Records, JournalError> {
        Ok(self.newest()?.map(|(_, entry)| entry.records).unwrap_or_default())
    }

    /// Changes the records in one step.
    pub fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let (place, sequence, mut records) = match self.newest()? {
            Some((place, entry)) => (Some(place), entry.sequence + 1, entry.records),
            None => (None, 1, Records::default()),
        };
        change(&mut records);
        encode(&Entry { sequence, records })
            .and_then(|content| self.write(place, &content))
            .map_err(|source| JournalError::Write { place: self.place.clone(), source })
    }
}

/// `rota-journal-1 <sha256 of the rest> <JSON>`.
fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(entry)?;
    let mut content = format!("{MAGIC} {}\n", checksum(&json)).into_bytes();
    content.extend(json);
    Ok(content)
}

fn decode(content: &[u8]) -> Option<Entry> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (line, json) = (content.get(..end)?, content.get(end + 1..)?);
    let (magic, sum) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if magic != MAGIC || sum != checksum(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

fn checksum(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A real folder.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Disk for Folder {
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

    fn write_synced(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.0.join(name))?;
        file.write_all(content)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// The journal in a real folder, shared with other processes: the daemon and a command may both
/// change it, one after the other.
#[derive(Debug)]
pub struct FileStore {
    folder: PathBuf,
    /// Held while an update of this process is under way.
    claim: Option<File>,
}

impl FileStore {
    /// Uses the journal in `folder`, which exists.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), claim: None }
    }

    fn journal(&self) -> Journal<Folder> {
        Journal::new(Folder(self.folder.clone()), self.folder.display().to_string())
    }

    fn open(&self, name: &str) -> Result<File, JournalError> {
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        options.open(self.folder.join(name)).map_err(|source| self.write_error(source))
    }

    fn write_error(&self, source: io::Error) -> JournalError {
        JournalError::Write { place: self.folder.display().to_string(), source }
    }
}

impl Store for FileStore {
    /// Takes no lock, so that it also works on a read-only file system.
    fn read(&self) -> Result<Records, JournalError> {
        self.journal().read()
    }

    fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let held_until_written = self.open(LOCK)?;
        held_until_written.lock().map_err(|source| self.write_error(source))?;
        self.journal().change(change)
    }

    fn claim_update(&mut self) -> Result<bool, JournalError> {
        if self.claim.is_none() {
            let file = self.open(CLAIM)?;
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
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::records::Software;

    /// A folder in memory that stops working after so many operations, tearing the write it is in.
    #[derive(Clone, Debug, Default)]
    struct Memory {
        files: BTreeMap<String, Vec<u8>>,
        operations_left: Option<usize>,
        torn_at: usize,
    }

    impl Memory {
        fn operate(&mut self) -> io::Result<()> {
            match &mut self.operations_left {
                Some(0) => Err(io::Error::other("no power")),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }
    }

    impl Disk for Memory {
        fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
            Ok(self.files.get(name).cloned())
        }

        fn write_synced(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
            if let Err(error) = self.operate() {
                let torn = content.get(..self.torn_at.min(content.len())).unwrap_or_default();
                self.files.insert(name.to_owned(), torn.to_vec());
                return Err(error);
            }
            self.files.insert(name.to_owned(), content.to_vec());
            Ok(())
        }

        fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
            self.operate()?;
            let content = self.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            self.files.insert(to.to_owned(), content);
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            self.operate()
        }
    }

    fn name(journal: &Journal<Memory>) -> String {
        journal.read().unwrap().software().artifact_name
    }

    fn set(journal: &mut Journal<Memory>, name: &str) -> Result<(), JournalError> {
        journal.change(&mut |records| {
            records.software = Some(Software { artifact_name: name.into(), ..Software::default() });
        })
    }

    /// After how many operations each of two writes is cut, and after how many bytes it tears.
    fn cuts() -> Vec<(usize, usize, usize)> {
        let mut cuts = Vec::new();
        for first in 0..5 {
            for second in 0..7 {
                cuts.extend([0, 1, 40, 90, 100_000].map(|torn_at| (first, second, torn_at)));
            }
        }
        cuts
    }

    #[test]
    fn a_write_that_is_cut_anywhere_leaves_the_old_or_the_new() {
        let mut before = Journal::new(Memory::default(), "memory");
        set(&mut before, "one").unwrap();
        set(&mut before, "two").unwrap();
        for (operations, again, torn_at) in cuts() {
            let mut disk = before.disk.clone();
            (disk.operations_left, disk.torn_at) = (Some(operations), torn_at);
            let mut journal = Journal::new(disk, "memory");
            let written = set(&mut journal, "three").is_ok();
            assert_eq!(written, operations >= 4);
            let first = name(&journal);
            assert!(first == "three" || (!written && first == "two"), "{first}");

            // The next write may be cut as well, and must not lose what was read meanwhile.
            journal.disk.operations_left = Some(again);
            let written = set(&mut journal, "four").is_ok();
            let second = name(&journal);
            assert!(second == "four" || (!written && second == first), "{first}, then {second}");

            journal.disk.operations_left = None;
            set(&mut journal, "five").unwrap();
            assert_eq!(name(&journal), "five");
        }
    }

    #[test]
    fn a_damaged_journal_falls_back_to_the_previous_one() {
        let mut journal = Journal::new(Memory::default(), "memory");
        set(&mut journal, "one").unwrap();
        set(&mut journal, "two").unwrap();
        let content = journal.disk.files.get_mut(CURRENT).unwrap();
        let last = content.len() - 3;
        content[last] ^= 1;
        assert_eq!(name(&journal), "one");

        set(&mut journal, "three").unwrap();
        assert_eq!(name(&journal), "three");
        assert_eq!(decode(&journal.disk.files[PREVIOUS]).unwrap().sequence, 1);
    }

    #[test]
    fn no_journal_is_an_empty_one() {
        let journal = Journal::new(Memory::default(), "memory");
        assert_eq!(journal.read().unwrap(), Records::default());
    }

    #[test]
    fn commands_and_daemon_do_not_lose_each_others_changes() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = folder.path();
                scope.spawn(move || {
                    let mut store = FileStore::new(path);
                    for turn in 0..5 {
                        store
                            .change(&mut |records| {
                                let software = records.software.get_or_insert_default();
                                software.provides.insert(format!("{writer}-{turn}"), "x".into());
                            })
                            .unwrap();
                    }
                });
            }
        });
        let records = FileStore::new(folder.path()).read().unwrap();
        assert_eq!(records.software().provides.len(), 20);
    }

    #[test]
    fn one_process_at_a_time_claims_the_update() {
        let folder = tempfile::tempdir().unwrap();
        let (mut daemon, mut command) =
            (FileStore::new(folder.path()), FileStore::new(folder.path()));
        assert!(daemon.claim_update().unwrap() && daemon.claim_update().unwrap());
        assert!(!command.claim_update().unwrap());
        daemon.release_update();
        assert!(command.claim_update().unwrap());
    }
}
