//! Writes an image to a block device, a UBI volume or a file.
//!
//! A block that already holds the right bytes is not written again: flash memory reads faster than
//! it writes, and wears by writing. Nothing is touched before it is clear that the image fits and
//! that nobody uses the target. Memory is two blocks, whatever the size of the image.
//!
//! A block that cannot be read is written. Power cuts leave such blocks on eMMC, SD cards and SSDs;
//! writing is what heals them, and refusing to would end all updates of the device.
//!
//! What was written is not read back. The kernel reports a write that failed at the next sync, which
//! is an error here; whether a disk tells the truth is for dm-verity or a file system with checksums
//! to find out, which look at every start and not once.

mod mounts;
mod target;
#[cfg(test)]
mod tests;
mod ubi;

use std::{
    fmt,
    io::{self, Read},
    path::PathBuf,
    time::{Duration, Instant},
};

pub use target::{MissingFile, Target, open};

use crate::wake::{Stopped, Wake};

/// What is compared and written at once. It is what the erase blocks and read-ahead of SD cards and
/// eMMC are made for; smaller ones cost more calls, larger ones rewrite more around a change.
const BLOCK_BYTES: usize = 1 << 20;

/// How much may wait in memory to be written. Without a bound the kernel would collect a fifth of
/// the memory and then stop everybody who writes anything.
const SYNC_EVERY_BYTES: u64 = 16 << 20;

/// An image was not written, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    #[error("cannot read the image")]
    Image(#[source] io::Error),
    #[error("the image ends after {found_bytes} of {size_bytes} bytes")]
    Short { found_bytes: u64, size_bytes: u64 },
    #[error("the image goes on after its {size_bytes} bytes")]
    Long { size_bytes: u64 },
    #[error("the image is empty")]
    Empty,
    #[error("the image of {size_bytes} bytes does not fit {target}, which has {capacity_bytes}")]
    TooLarge { size_bytes: u64, capacity_bytes: u64, target: PathBuf },
    #[error("{target} is mounted on {on}; only a partition that is not in use can be written")]
    Mounted { target: PathBuf, on: PathBuf },
    #[error("{target} is in use by the kernel: mounted, swap, or part of another device")]
    InUse { target: PathBuf },
    #[error("{target} is neither a block device, nor a UBI volume, nor a file")]
    WrongKind { target: PathBuf },
    #[error("cannot {doing} {path}")]
    Disk { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl FlashError {
    /// For use with `map_err`: what was being done, to which file.
    fn disk(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, path: path.into(), source }
    }
}

/// What writing an image came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub written_bytes: u64,
    /// Were there already.
    pub skipped_bytes: u64,
    /// Of what was written: blocks that could not be compared.
    pub unreadable: Option<Unreadable>,
    pub took: Duration,
}

/// Blocks that the target did not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    pub blocks: u64,
    /// Where the first one begins, and what reading it came to.
    pub first_offset_bytes: u64,
    pub reason: String,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written_bytes, skipped_bytes, unreadable, took } = self;
        let seconds = took.as_secs_f64();
        write!(f, "{written_bytes} bytes written, {skipped_bytes} unchanged, in {seconds:.1} s")?;
        let Some(Unreadable { blocks, first_offset_bytes, reason }) = unreadable else {
            return Ok(());
        };
        write!(
            f,
            "; blocks that could not be read before they were written: {blocks}, the first "
        )?;
        write!(f, "{first_offset_bytes} bytes from the start ({reason})")
    }
}

/// Writes an image of a known size. When it returns all of it is on the disk.
pub fn write(
    image: &mut dyn Read,
    size_bytes: u64,
    target: &mut dyn Target,
    wake: &Wake,
) -> Result<Written, FlashError> {
    let begin = Instant::now();
    check_size(size_bytes, target)?;
    let path = target.path().to_owned();
    let failed = |doing| FlashError::disk(doing, path.clone());
    target.begin(size_bytes).map_err(failed("begin to write"))?;

    let mut written = Written::default();
    let mut block = vec![0; BLOCK_BYTES];
    let mut present = vec![0; BLOCK_BYTES];
    let (mut offset, mut unsynced) = (0, 0);
    while offset < size_bytes {
        wake.check()?;
        let wanted = usize::try_from(size_bytes - offset).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let block = block.get_mut(..wanted).unwrap_or_default();
        let present = present.get_mut(..wanted).unwrap_or_default();
        let found = fill(image, block).map_err(FlashError::Image)?;
        if found < wanted {
            return Err(FlashError::Short { found_bytes: offset + found as u64, size_bytes });
        }
        let is_there = match target.read(offset, present) {
            Ok(is_read) => is_read && present == block,
            Err(error) => {
                let first = || Unreadable {
                    blocks: 0,
                    first_offset_bytes: offset,
                    reason: error.to_string(),
                };
                written.unreadable.get_or_insert_with(first).blocks += 1;
                false
            }
        };
        let length = wanted as u64;
        if is_there {
            written.skipped_bytes += length;
        } else {
            target.write(offset, block).map_err(failed("write"))?;
            written.written_bytes += length;
            unsynced += length;
        }
        offset += length;
        if unsynced >= SYNC_EVERY_BYTES {
            target.sync().map_err(failed("sync"))?;
            unsynced = 0;
        }
    }
    // Reading on to the end is also what makes the Artifact's checksum be compared.
    if fill(image, &mut [0]).map_err(FlashError::Image)? > 0 {
        return Err(FlashError::Long { size_bytes });
    }
    target.sync().map_err(failed("sync"))?;
    Ok(Written { took: begin.elapsed(), ..written })
}

fn check_size(size_bytes: u64, target: &dyn Target) -> Result<(), FlashError> {
    match target.capacity_bytes() {
        _ if size_bytes == 0 => Err(FlashError::Empty),
        Some(capacity_bytes) if size_bytes > capacity_bytes => {
            let target = target.path().to_owned();
            Err(FlashError::TooLarge { size_bytes, capacity_bytes, target })
        }
        _ => Ok(()),
    }
}

/// Reads until the buffer is full or the image ends.
fn fill(image: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match image.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
