//! A disk that fails: at any step the power is cut, and what was not synced may be lost; or a step
//! fails, as on a full disk.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::super::disk::Step;

/// What happens at the chosen step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The step and all that come after do not happen.
    PowerCut(Loss),
    /// The step fails, the others do not.
    DiskFull,
}

/// What of the steps before a power cut is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Nothing,
    AllUnsynced,
    /// Names that are new are gone; what was renamed or removed after them stays so.
    NewNames,
    /// Files are half there or whole, the last few changes of names are gone, and of the names
    /// that appeared before those some are gone, too.
    SomeUnsynced(u64),
}

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
    static EXCHANGES: Cell<bool> = const { Cell::new(true) };
}

struct Disk {
    fault: Fault,
    steps_until_fault: usize,
    is_off: bool,
    /// Where things go that a lost step would bring back; on the same file system.
    attic: PathBuf,
    attic_names: usize,
    unsynced: Vec<Unsynced>,
}

/// A step that a power cut may undo.
enum Unsynced {
    Content { file: File },
    Appeared { path: PathBuf },
    Renamed { from: PathBuf, to: PathBuf, replaced: Option<PathBuf> },
    Exchanged { from: PathBuf, to: PathBuf },
    Removed { path: PathBuf, saved: PathBuf },
}

/// Makes the step after `steps` others on this thread go wrong.
pub(crate) fn arm(fault: Fault, steps: usize, attic: &Path) {
    let _ = fs::remove_dir_all(attic);
    fs::create_dir_all(attic).unwrap();
    let disk = Disk {
        fault,
        steps_until_fault: steps,
        is_off: false,
        attic: attic.to_owned(),
        attic_names: 0,
        unsynced: Vec::new(),
    };
    DISK.with_borrow_mut(|place| *place = Some(disk));
}

/// Makes the disk sound again, and tells whether the fault has come.
pub(crate) fn disarm() -> bool {
    DISK.with_borrow_mut(Option::take).is_some_and(|disk| disk.is_off)
}

/// From now on the file systems of this thread cannot exchange things.
pub(crate) fn without_exchange() {
    EXCHANGES.set(false);
}

/// Called before each step.
pub(crate) fn before(step: Step<'_>) -> io::Result<()> {
    if matches!(step, Step::Exchange { .. }) && !EXCHANGES.get() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    DISK.with_borrow_mut(|place| place.as_mut().map_or(Ok(()), |disk| disk.before(step)))
}

impl Disk {
    fn before(&mut self, step: Step<'_>) -> io::Result<()> {
        let off = || io::Error::other("the power is off");
        if self.is_off {
            return match self.fault {
                Fault::PowerCut(_) => Err(off()),
                Fault::DiskFull => Ok(()),
            };
        }
        if self.steps_until_fault == 0 {
            self.is_off = true;
            return match self.fault {
                Fault::PowerCut(loss) => {
                    if let Step::Write(path) | Step::RemoveTree(path) = step {
                        tear(path);
                    }
                    self.lose(loss);
                    Err(off())
                }
                Fault::DiskFull => Err(io::ErrorKind::StorageFull.into()),
            };
        }
        self.steps_until_fault -= 1;
        self.note(step);
        Ok(())
    }

    /// Remembers how to undo a step, or forgets what it makes last.
    fn note(&mut self, step: Step<'_>) {
        let entry = match step {
            Step::Create(path) | Step::MakeFolder(path) | Step::Link { to: path, .. } => {
                Unsynced::Appeared { path: path.to_owned() }
            }
            Step::Write(path) => {
                Unsynced::Content { file: File::options().write(true).open(path).unwrap() }
            }
            Step::Rename { from, to } => {
                let replaced = to.symlink_metadata().is_ok().then(|| self.save(to));
                Unsynced::Renamed { from: from.to_owned(), to: to.to_owned(), replaced }
            }
            Step::Exchange { from, to } => {
                Unsynced::Exchanged { from: from.to_owned(), to: to.to_owned() }
            }
            Step::Remove(path) | Step::RemoveTree(path) | Step::RemoveFolder(path) => {
                let Ok(metadata) = path.symlink_metadata() else { return };
                let is_full = || fs::read_dir(path).unwrap().next().is_some();
                if matches!(step, Step::RemoveFolder(_)) && is_full() {
                    return;
                }
                let saved = self.attic_name();
                if metadata.is_dir() {
                    // The step then finds nothing, which it does not mind.
                    fs::rename(path, &saved).unwrap();
                } else {
                    fs::hard_link(path, &saved).unwrap();
                }
                Unsynced::Removed { path: path.to_owned(), saved }
            }
            Step::SetAttributes(_) => return,
            Step::Sync(path) => return self.sync_file(path),
            Step::SyncFolder(path) => {
                return self.unsynced.retain(|entry| entry.folder() != Some(path));
            }
            Step::SyncFileSystem(_) => return self.unsynced.clear(),
        };
        self.unsynced.push(entry);
    }

    fn sync_file(&mut self, path: &Path) {
        use std::os::unix::fs::MetadataExt;
        let inode = fs::metadata(path).unwrap().ino();
        self.unsynced.retain(|entry| {
            !matches!(entry, Unsynced::Content { file } if file.metadata().unwrap().ino() == inode)
        });
    }

    fn save(&mut self, path: &Path) -> PathBuf {
        let saved = self.attic_name();
        fs::hard_link(path, &saved).unwrap();
        saved
    }

    fn attic_name(&mut self) -> PathBuf {
        self.attic_names += 1;
        self.attic.join(self.attic_names.to_string())
    }

    /// The newest changes of names go first, as a journal loses them.
    fn lose(&mut self, loss: Loss) {
        let mut random = match loss {
            Loss::Nothing => return,
            Loss::AllUnsynced | Loss::NewNames => None,
            Loss::SomeUnsynced(seed) => Some(Random(seed)),
        };
        let lost_of = |count: usize, random: &mut Option<Random>| match random {
            None => count,
            Some(random) => random.below(count + 1),
        };
        let entries = std::mem::take(&mut self.unsynced);
        let (contents, mut names): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| matches!(entry, Unsynced::Content { .. }));
        for entry in contents {
            if lost_of(1, &mut random) == 1 {
                entry.undo();
            }
        }
        let kept = match loss {
            Loss::NewNames => names.len(),
            _ => names.len() - lost_of(names.len(), &mut random),
        };
        for entry in names.drain(kept..).rev() {
            entry.undo();
        }
        for entry in names {
            if matches!(entry, Unsynced::Appeared { .. }) && lost_of(1, &mut random) == 1 {
                entry.undo();
            }
        }
    }
}

impl Unsynced {
    /// The folder that must be synced to make it last.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Content { .. } => None,
            Self::Appeared { path }
            | Self::Renamed { to: path, .. }
            | Self::Exchanged { to: path, .. }
            | Self::Removed { path, .. } => path.parent(),
        }
    }

    fn undo(self) {
        // A folder that is gone for good takes along what happened in it.
        if self.folder().is_some_and(|folder| !folder.exists()) {
            return;
        }
        match self {
            Self::Content { file } => file.set_len(file.metadata().unwrap().len() / 2).unwrap(),
            Self::Appeared { path } if path.is_dir() && !path.is_symlink() => {
                fs::remove_dir_all(path).unwrap();
            }
            // It never appeared if the step itself failed.
            Self::Appeared { path } => {
                let _ = fs::remove_file(path);
            }
            Self::Renamed { from, to, replaced } => {
                fs::rename(&to, from).unwrap();
                if let Some(replaced) = replaced {
                    fs::rename(replaced, to).unwrap();
                }
            }
            Self::Exchanged { from, to } => assert!(disk_exchange(&from, &to)),
            Self::Removed { path, saved } => fs::rename(saved, path).unwrap(),
        }
    }
}

/// The disk is borrowed while steps are undone, so this is a call of its own.
fn disk_exchange(from: &Path, to: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).is_ok()
}

/// What is being written or removed when the power fails is left in between.
fn tear(path: &Path) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap().step_by(2) {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    } else if let Ok(file) = File::options().append(true).open(path) {
        io::Write::write_all(&mut &file, b"torn").unwrap();
    }
}

/// A small generator, so that a printed seed repeats a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % bound as u64).unwrap()
    }
}
