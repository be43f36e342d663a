//! What an image can be written to.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, OFlags, SeekFrom, fadvise, seek};

use super::{FlashError, mounts::mounted_on, ubi::UbiVolume};
use crate::host::Host;

/// Takes an image. A device, or something that behaves like one.
pub trait Target {
    /// Its name in messages.
    fn path(&self) -> &Path;
    /// How much fits, where that is known.
    fn capacity_bytes(&self) -> Option<u64>;
    /// Announces how much is going to be written.
    fn begin(&mut self, size_bytes: u64) -> io::Result<()>;
    /// Reads what is there now; `false` if it cannot be told, or there is not that much.
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<bool>;
    /// Blocks are written in ascending order.
    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()>;
    /// Waits until everything is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// What to do when there is nothing of the target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFile {
    /// It is an error. A mistyped device must not become a file that fills the memory behind `/dev`.
    Refuse,
    /// A file is created, and may grow.
    Create,
}

/// Opens a target, and makes sure that nobody uses it.
pub fn open(host: &Host, path: &Path, missing: MissingFile) -> Result<Box<dyn Target>, FlashError> {
    let at = host.path(path);
    let kind = match fs::metadata(&at) {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::NotFound && missing == MissingFile::Create => {
            let file = File::create_new(&at).map_err(FlashError::disk("create", path))?;
            return Ok(Box::new(Blocks { file, path: path.to_owned(), capacity_bytes: None }));
        }
        Err(error) => return Err(FlashError::disk("find", path)(error)),
    };
    if kind.file_type().is_char_device() {
        let volume = UbiVolume::open(host, path)?;
        let volume = volume.ok_or_else(|| FlashError::WrongKind { target: path.to_owned() })?;
        return Ok(Box::new(volume));
    }
    let may_grow = missing == MissingFile::Create && kind.is_file();
    let file = open_blocks(host, path, &kind)?;
    let end = seek(&file, SeekFrom::End(0)).map_err(io::Error::from);
    let end = end.map_err(FlashError::disk("measure", path))?;
    let capacity_bytes = (!may_grow).then_some(end);
    Ok(Box::new(Blocks { file, path: path.to_owned(), capacity_bytes }))
}

fn open_blocks(host: &Host, path: &Path, kind: &Metadata) -> Result<File, FlashError> {
    let target = path.to_owned();
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if kind.file_type().is_block_device() {
        let mount =
            mounted_on(host, kind.rdev()).map_err(FlashError::disk("look for mounts of", path))?;
        if let Some(on) = mount {
            return Err(FlashError::Mounted { target, on });
        }
        // On a block device this asks the kernel to claim it, which fails while anybody else has:
        // a mount in another namespace, swap, a device mapper or RAID device on top.
        options.custom_flags(OFlags::EXCL.bits().cast_signed());
    } else if !kind.is_file() {
        return Err(FlashError::WrongKind { target });
    }
    options.open(host.path(path)).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => FlashError::InUse { target },
        _ => FlashError::disk("open", path)(error),
    })
}

/// A block device, or a file in place of one.
struct Blocks {
    file: File,
    path: PathBuf,
    capacity_bytes: Option<u64>,
}

impl Target for Blocks {
    fn path(&self) -> &Path {
        &self.path
    }

    fn capacity_bytes(&self) -> Option<u64> {
        self.capacity_bytes
    }

    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        // Reading ahead makes comparing as fast as the device reads; advice may be ignored.
        let _ = fadvise(&self.file, 0, None, Advice::Sequential);
        Ok(())
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact_at(buffer, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        self.file.write_all_at(block, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        // Nobody will read it soon, and the memory is needed for others.
        let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        Ok(())
    }
}
