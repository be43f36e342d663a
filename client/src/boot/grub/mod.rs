//! GRUB's environment, in two copies that are never both half written.
//!
//! The layout is that of Mender's GRUB integration, so that its devices carry on: two folders,
//! `mender_grubenv1` and `mender_grubenv2`, each with `env` (the values), `lock` (`editing=1` while
//! `env` is being written) and `lock.sha256sum` (for tools that check the lock's bytes; GRUB does
//! not). GRUB goes by the first copy unless that is locked or damaged, so the second one is written
//! first, and the instant at which a change happens is the one write that locks the first.
//!
//! Files are written in place: GRUB writes to them by itself, straight to the blocks that they
//! occupy, so they must not move. The folders are two, since a FAT file system rewrites a folder
//! when the times of its files change.

mod block;
mod files;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use block::{Block, BlockError};
use files::{EnvFiles, Files};
use ring::digest::{SHA256, digest};

use super::{BootError, Environment};
use crate::host::Host;

/// Held by everybody who changes the environment, Mender's own scripts included.
const LOCK_FILE: &str = "/var/lock/grub-mender-grubenv-set.lock";

/// Who sets a place of their own writes `ENV_DIR=…` into this file.
const CONFIG: &str = "/etc/mender_grubenv.config";

/// Where the two folders are looked for, in this order.
const PLACES: [&str; 4] = [
    "/boot/efi/grub-mender-grubenv",
    "/boot/grub/grub-mender-grubenv",
    "/boot/efi/EFI/BOOT",
    "/boot/grub",
];

/// How long to wait for somebody else's change; theirs take milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// In a lock: whether the copy is being written.
const EDITING: &str = "editing";

/// The two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    First,
    Second,
}

impl Copy {
    fn folder(self) -> &'static str {
        match self {
            Self::First => "mender_grubenv1",
            Self::Second => "mender_grubenv2",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    fn env(self) -> PathBuf {
        Path::new(self.folder()).join("env")
    }

    fn lock(self) -> PathBuf {
        Path::new(self.folder()).join("lock")
    }

    fn lock_sum(self) -> PathBuf {
        Path::new(self.folder()).join("lock.sha256sum")
    }
}

/// The environment that GRUB's boot script reads.
#[derive(Debug)]
pub struct GrubEnvironment<F = Files> {
    files: F,
    lock_file: PathBuf,
}

impl GrubEnvironment {
    /// The environment of this device, if it has one.
    pub fn find(host: &Host) -> Option<Self> {
        let configured = fs::read_to_string(host.path(CONFIG)).ok().and_then(|text| env_dir(&text));
        let has_copies = |folder: &PathBuf| host.path(folder).join(Copy::First.folder()).is_dir();
        let folder = configured.into_iter().chain(PLACES.map(PathBuf::from)).find(has_copies)?;
        let files = Files::new(host.path(folder));
        Some(Self { files, lock_file: host.path(LOCK_FILE) })
    }
}

/// The last `ENV_DIR=…` of a configuration.
fn env_dir(config: &str) -> Option<PathBuf> {
    let values = config.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "ENV_DIR").then(|| value.trim())
    });
    values.rev().find(|value| !value.is_empty()).map(PathBuf::from)
}

impl<F: EnvFiles> GrubEnvironment<F> {
    /// Waits for its turn.
    fn exclusively<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BootError>,
    ) -> Result<T, BootError> {
        let failed = |error| BootError::file("lock", &self.lock_file)(error);
        if let Some(folder) = self.lock_file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = File::options().create(true).append(true).open(&self.lock_file);
        let file = file.map_err(failed)?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return work(self),
                Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    return Err(BootError::Locked { seconds: PATIENCE.as_secs() });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// A copy, if nobody was interrupted while writing it and it can be read.
    fn sound(&self, copy: Copy) -> Option<Block> {
        let block = |path: &Path| Block::parse(&self.files.read(path).ok()?).ok();
        let lock = block(&copy.lock())?;
        if lock.get(EDITING) == Some(b"0") { block(&copy.env()) } else { None }
    }

    /// What GRUB would go by, and where it is.
    fn current(&self) -> Result<(Copy, Block), BootError> {
        let sound = |copy| self.sound(copy).map(|block| (copy, block));
        sound(Copy::First)
            .or_else(|| sound(Copy::Second))
            .ok_or_else(|| BootError::BothCopiesDamaged { folder: self.files.place() })
    }

    /// Brings one copy to a content; the other one holds the truth meanwhile.
    fn write_copy(&mut self, copy: Copy, content: &Block) -> Result<(), BootError> {
        self.set_editing(copy, "1")?;
        self.put(&copy.env(), content)?;
        self.set_editing(copy, "0")
    }

    fn set_editing(&mut self, copy: Copy, value: &str) -> Result<(), BootError> {
        let path = copy.lock();
        let mut lock = self.files.read(&path).ok().and_then(|bytes| Block::parse(&bytes).ok());
        let lock = lock.get_or_insert_default();
        lock.set(EDITING, value);
        if value == "0" {
            self.put_lock_sum(copy, lock)?;
        }
        self.put(&path, lock)
    }

    /// The checksum is that of the lock at rest, so it hardly ever changes.
    fn put_lock_sum(&mut self, copy: Copy, lock: &Block) -> Result<(), BootError> {
        let mut line = String::new();
        for byte in digest(&SHA256, &self.bytes(&copy.lock(), lock)?).as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(line, "{byte:02x}");
        }
        line.push_str("  lock\n");
        let path = copy.lock_sum();
        if self.files.read(&path).is_ok_and(|found| found == line.as_bytes()) {
            return Ok(());
        }
        self.files.write(&path, line.as_bytes()).map_err(BootError::file("write", &path))
    }

    fn put(&mut self, path: &Path, block: &Block) -> Result<(), BootError> {
        let bytes = self.bytes(path, block)?;
        self.files.write(path, &bytes).map_err(BootError::file("write", path))
    }

    fn bytes(&self, path: &Path, block: &Block) -> Result<Vec<u8>, BootError> {
        let path = || format!("{}/{}", self.files.place(), path.display());
        block.to_bytes().map_err(|error| match error {
            BlockError::Full => BootError::BlockFull { path: path() },
            BlockError::Malformed(problem) => BootError::NotABlock { path: path(), problem },
        })
    }
}

impl<F: EnvFiles> Environment for GrubEnvironment<F> {
    fn read(&mut self) -> Result<BTreeMap<String, String>, BootError> {
        self.exclusively(|this| {
            let (_, block) = this.current()?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Ok(block.variables().map(|(name, value)| (text(name), text(value))).collect())
        })
    }

    fn write(&mut self, changes: &[(&'static str, String)]) -> Result<(), BootError> {
        self.exclusively(|this| {
            let (copy, mut content) = this.current()?;
            for (name, value) in changes {
                content.set(name, value);
            }
            // That it does not fit is to be found out before anything is touched.
            this.bytes(&copy.env(), &content)?;
            // The copy that GRUB goes by is written when the other one is whole.
            this.write_copy(copy.other(), &content)?;
            this.write_copy(copy, &content)
        })
    }

    fn wants_hexadecimal(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
