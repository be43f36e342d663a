//! Copies a mounted file system as it is at one instant, while nothing can be written to it.
//!
//! The kernel holds all writers up until the file system is thawed, this process included. So the
//! freeze is as short as the copy, it ends on every way out, and a watchdog ends it when the copy
//! comes to a standstill: nobody can log in to repair a device whose root is frozen. Another process
//! stands by to end it if this one is killed.

mod freeze;
mod guard;
mod place;

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    time::Duration,
};

use flate2::{Compression as Level, write::GzEncoder};
use rustix::{fs::fstat, io::Errno, termios::isatty};

pub use freeze::{Freezer, MountFreezer};
pub use guard::{Guarded, stand_guard};
pub use place::{Place, find};

use crate::wake::{Stopped, Wake};
use freeze::Frozen;

const CHUNK_BYTES: usize = 1 << 20;

/// How long the copy may stand still; as long as Mender's tool allows.
pub const WATCHDOG: Duration = Duration::from_secs(30);

/// What the snapshot is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gzip,
}

/// No snapshot was made, or what was written of it is of no use.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot find the file system of {path}")]
    Find { path: PathBuf, source: io::Error },
    #[error("{path} is on no block device, so there is nothing to copy")]
    NoDevice { path: PathBuf },
    #[error("a snapshot is binary data; redirect the output to a file or a pipe")]
    Terminal,
    #[error(
        "{what} is on the file system that is to be frozen, and would wait for its end for ever; \
         use another file system or a pipe"
    )]
    OnFrozen { what: &'static str },
    #[error("cannot freeze the file system at {path}")]
    Freeze { path: PathBuf, source: io::Error },
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the snapshot")]
    Write(#[source] io::Error),
    #[error("the snapshot stood still for {} s; the file system was thawed", limit.as_secs())]
    StoodStill { limit: Duration },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Refuses outputs that cannot take a snapshot, and whatever else of this process would be held up.
pub fn check_output(
    place: &Place,
    output: BorrowedFd<'_>,
    others: &[(&'static str, BorrowedFd<'_>)],
) -> Result<(), SnapshotError> {
    if isatty(output) {
        return Err(SnapshotError::Terminal);
    }
    let all = [("the output", output)];
    for (what, file) in all.iter().chain(others) {
        let is_on = fstat(*file).is_ok_and(|stat| stat.st_dev == place.device_number);
        if place.mount_point.is_some() && is_on {
            return Err(SnapshotError::OnFrozen { what });
        }
    }
    Ok(())
}

/// Freezes a file system, copies its device to `output`, and thaws it. `watch` hears after each
/// piece how many bytes were read.
pub fn dump(
    device: &mut File,
    device_path: &std::path::Path,
    freezer: Option<Box<dyn Freezer>>,
    (output, compression): (&mut dyn Write, Compression),
    limit: Duration,
    wake: &Wake,
    watch: &mut dyn FnMut(u64),
) -> Result<u64, SnapshotError> {
    let frozen = freezer.map(|freezer| Frozen::new(freezer, limit, wake)).transpose()?;
    let read = |source| SnapshotError::Read { path: device_path.to_owned(), source };
    let mut output = Encoder::new(output, compression);
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        wake.check()?;
        let count = match device.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(read(error)),
        };
        total += count as u64;
        let written = output.write_all(buffer.get(..count).unwrap_or_default());
        // What was copied after the thaw is not of the same instant.
        if let Some(frozen) = &frozen {
            frozen.go_on()?;
        }
        written.map_err(SnapshotError::Write)?;
        watch(total);
    }
    output.finish().map_err(SnapshotError::Write)?;
    match frozen {
        Some(frozen) => frozen.end().map(|()| total),
        None => Ok(total),
    }
}

enum Encoder<'a> {
    Plain(&'a mut dyn Write),
    Gzip(Box<GzEncoder<&'a mut dyn Write>>),
}

impl<'a> Encoder<'a> {
    fn new(output: &'a mut dyn Write, compression: Compression) -> Self {
        match compression {
            Compression::None => Self::Plain(output),
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(output, Level::default()))),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.flush(),
            Self::Gzip(encoder) => encoder.finish()?.flush(),
        }
    }
}

/// Opens what is to be frozen; what is mounted nowhere need not be.
pub fn freezer(place: &Place) -> Result<Option<MountFreezer>, SnapshotError> {
    let Some(path) = &place.mount_point else { return Ok(None) };
    let failed = |source| SnapshotError::Freeze { path: path.clone(), source };
    let folder = File::open(path).map_err(failed)?;
    // The mount may have changed since it was found.
    if fstat(folder.as_fd()).map_err(|error: Errno| failed(error.into()))?.st_dev
        != place.device_number
    {
        return Err(SnapshotError::NoDevice { path: path.clone() });
    }
    Ok(Some(MountFreezer::new(folder, path.clone())))
}

#[cfg(test)]
mod tests;
