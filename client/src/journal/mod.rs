//! The journal: one small file that survives a power cut at any instant.
//!
//! The whole content is written anew each time: into a new file, which is synced and only then
//! takes the old one's place; the old one is kept. Each file carries a sequence number and a
//! checksum, so a torn or damaged one is recognised and the best of the others is read; so it is
//! where the medium does not let one be read at all. What was passed over like that is remembered
//! until somebody tells it ([`Store::take_damage`]).

mod damage;
mod folder;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod volatile;

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Write},
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::records::Records;

pub use damage::{Damage, Flaw, Loss};
pub use folder::FileStore;

use damage::Noticed;

const CURRENT: &str = "rota-journal";
const NEW: &str = "rota-journal.new";
const PREVIOUS: &str = "rota-journal.previous";

/// So many entries are kept in memory: those of all files, and one that is being written.
const MAX_KNOWN: usize = 4;

/// First word of the file; a later format gets another number.
const MAGIC: &str = "rota-journal-1";

/// Where the journal's files lie. A real folder, or one that loses power between any two of these
/// operations and then forgets what was not synced: contents and names each for themselves.
pub trait Disk {
    type File: DiskFile;

    /// The content of a file, `None` if there is none.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// Makes a file. One that had this name loses it, and is not written to: after a cut it may be
    /// known by another name as well.
    fn create(&mut self, name: &str) -> io::Result<Self::File>;
    /// Waits until the content of a file that was written earlier is on the disk.
    fn sync_content(&mut self, name: &str) -> io::Result<()>;
    /// Renames a file over another.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Waits until all names are on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file on a [`Disk`], open for writing.
pub trait DiskFile: Write {
    /// Waits until the content is on the disk.
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
    /// Keeps other processes from starting an update; `false` if one of them has. Where nothing can
    /// be written it succeeds: the update then fails with its first entry, which can be reported.
    fn claim_update(&mut self) -> Result<bool, JournalError>;
    /// Lets other processes start updates again.
    fn release_update(&mut self);
    /// Which files were passed over since the last call; each file once as long as the process
    /// lives.
    fn take_damage(&mut self) -> Vec<Damage>;
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    sequence: u64,
    records: Records,
}

/// What a file holds.
enum Found {
    Nothing,
    /// No power cut leaves that in the current file, only a medium that fails.
    Damaged,
    /// The medium fails, or the file system does.
    Unreadable(io::Error),
    Sound(Arc<Entry>),
}

/// An entry that was read or written before, and what it was in the file.
#[derive(Debug)]
struct Known {
    content: Vec<u8>,
    entry: Arc<Entry>,
}

/// The newest sound entry, and the file it is in.
struct Newest {
    place: &'static str,
    sequence: u64,
    records: Records,
}

/// The journal on a [`Disk`].
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    place: String,
    /// Reading changes nothing but this and the next.
    noticed: RefCell<Noticed>,
    /// Almost every read finds what was there before, and need not understand it anew.
    known: RefCell<VecDeque<Known>>,
}

impl<D: Disk> Journal<D> {
    /// `place` names the disk in errors.
    pub fn new(disk: D, place: impl Into<String>) -> Self {
        let place = place.into();
        Self { disk, place, noticed: RefCell::default(), known: RefCell::default() }
    }

    fn look(&self, name: &str) -> Result<Found, JournalError> {
        Ok(match self.disk.read(name) {
            Ok(None) => Found::Nothing,
            Ok(Some(content)) => self.understand(content).map_or(Found::Damaged, Found::Sound),
            Err(error) if is_for_want(&error) => return Err(self.read_error(error)),
            Err(error) => Found::Unreadable(error),
        })
    }

    fn understand(&self, content: Vec<u8>) -> Option<Arc<Entry>> {
        let known = self
            .known
            .borrow()
            .iter()
            .find(|known| known.content == content)
            .map(|known| known.entry.clone());
        known.or_else(|| decode(&content).map(|entry| self.remember(content, entry)))
    }

    fn remember(&self, content: Vec<u8>, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let mut known = self.known.borrow_mut();
        known.truncate(MAX_KNOWN - 1);
        known.push_front(Known { content, entry: entry.clone() });
        entry
    }

    fn read_error(&self, source: io::Error) -> JournalError {
        JournalError::Read { place: self.place.clone(), source }
    }

    /// The newest sound entry and the file it is in. A complete new file that had not yet taken its
    /// place counts: nothing was done on its strength, but nothing speaks against it either. What
    /// cannot be read counts as damaged, so that the next entry takes its place; if nothing else is
    /// left, it may hold an update, and is not passed over.
    fn newest(&self) -> Result<Option<Newest>, JournalError> {
        let mut newest: Option<(&'static str, Arc<Entry>)> = None;
        let mut flaws = Vec::new();
        let mut read_error = None;
        for name in [CURRENT, NEW, PREVIOUS] {
            match self.look(name)? {
                Found::Sound(entry) => {
                    if newest.as_ref().is_none_or(|(_, best)| entry.sequence > best.sequence) {
                        newest = Some((name, entry));
                    }
                }
                Found::Nothing => {}
                Found::Damaged => flaws.push((name, Flaw::Corrupt)),
                Found::Unreadable(error) => {
                    flaws.push((name, Flaw::from(&error)));
                    read_error.get_or_insert(error);
                }
            }
        }
        if let (None, Some(error)) = (&newest, read_error) {
            return Err(self.read_error(error));
        }
        let newest = newest.map(|(place, entry)| {
            let (sequence, mut records) = (entry.sequence, entry.records.clone());
            if place == PREVIOUS && flaws.iter().any(|(name, _)| *name == CURRENT) {
                records.forget_last_step();
            }
            Newest { place, sequence, records }
        });
        self.notice(flaws, newest.as_ref().map(|newest| newest.place));
        Ok(newest)
    }

    /// A new file that is torn is how a power cut leaves it.
    fn notice(&self, flaws: Vec<(&'static str, Flaw)>, newest_is_in: Option<&str>) {
        let path = |name| format!("{}/{name}", self.place);
        for (name, flaw) in flaws.into_iter().filter(|flaw| *flaw != (NEW, Flaw::Corrupt)) {
            let loss = match newest_is_in {
                None => Loss::All,
                Some(PREVIOUS) if name == CURRENT => Loss::Newest(path(PREVIOUS)),
                Some(newest) => Loss::Spare(path(newest)),
            };
            self.noticed.borrow_mut().add(Damage { file: path(name), flaw, loss });
        }
    }

    fn write(&mut self, newest_is_in: Option<&str>, content: &[u8]) -> io::Result<()> {
        // Never write into the file that holds the truth.
        if newest_is_in == Some(NEW) {
            // A client that was killed may have left it in memory alone.
            self.disk.sync_content(NEW)?;
            self.disk.rename(NEW, CURRENT)?;
            self.disk.sync()?;
        }
        let is_current_sound = matches!(newest_is_in, Some(NEW | CURRENT));
        match self.write_new(content) {
            Err(error) if is_full(&error) && is_current_sound => {
                // What is kept for the case of damage makes room, so that a full disk stops no
                // update half way. After a kill it may still be the current file on the disk.
                self.disk.sync()?;
                self.disk.remove(PREVIOUS)?;
                self.write_new(content)?;
            }
            written => written?,
        }
        if is_current_sound {
            self.disk.rename(CURRENT, PREVIOUS)?;
        }
        self.disk.rename(NEW, CURRENT)?;
        self.disk.sync()
    }

    fn write_new(&mut self, content: &[u8]) -> io::Result<()> {
        let mut file = self.disk.create(NEW)?;
        file.write_all(content)?;
        file.sync()
    }

    /// The records, or empty ones if there is no journal.
    pub fn read(&self) -> Result<Records, JournalError> {
        Ok(self.newest()?.map(|newest| newest.records).unwrap_or_default())
    }

    /// Changes the records in one step.
    pub fn change(&mut self, change: &mut dyn FnMut(&mut Records)) -> Result<(), JournalError> {
        let (place, sequence, mut records) = match self.newest()? {
            Some(Newest { place, sequence, records }) => (Some(place), sequence + 1, records),
            None => (None, 1, Records::default()),
        };
        change(&mut records);
        let entry = Entry { sequence, records };
        let written = encode(&entry).and_then(|content| {
            self.write(place, &content)?;
            self.remember(content, entry);
            Ok(())
        });
        written.map_err(|source| JournalError::Write { place: self.place.clone(), source })
    }

    /// As [`Store::take_damage`].
    pub fn take_damage(&mut self) -> Vec<Damage> {
        self.noticed.get_mut().take()
    }
}

/// Whether reading failed for want of something that says nothing about the file: another process,
/// or this one later, can read it.
fn is_for_want(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::PermissionDenied)
        || matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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
    let digits = digest(&SHA256, bytes);
    let digits = digits.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}
