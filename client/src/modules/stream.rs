//! The download of a payload: streamed to the module through FIFOs, or stored for it.
//!
//! The module and this end take turns. For each file the module reads one line from the FIFO
//! `stream-next`, which names another FIFO with the file's content; after the last file it reads
//! an empty line. A module that never opens `stream-next` finds all files stored in its tree.
//!
//! Nothing here blocks on a module that went away: FIFOs are opened and written without blocking,
//! and while they are not ready the module's process is watched.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rota_artifact::{Payload, PayloadFile, Reader};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode as FileMode, OFlags},
    io::Errno,
};

use super::{InstallError, Source, exec::Module, tree::WorkTree};
use crate::process::Running;

const CHUNK_BYTES: usize = 64 << 10;

/// Between looks at a module that is not ready to read.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the module's download call and gives it the payload.
pub(super) fn download(
    reader: &mut Reader<Source>,
    module: &Module<'_>,
    tree: &WorkTree,
) -> Result<(), InstallError> {
    let tree_error =
        |source| InstallError::Tree { path: tree.path().display().to_string(), source };
    let with_sizes = module.wants_file_sizes()?;
    let call = if with_sizes { "DownloadWithFileSizes" } else { "Download" };
    tree.open_streams().map_err(tree_error)?;
    let mut download = Download { running: module.start(call)?, call, tree, with_sizes };
    let outcome = reader
        .payload()
        .map_err(InstallError::from)
        .and_then(|mut payload| download.feed(&mut payload));
    let outcome = match outcome {
        Ok(()) => download.running.finish().map_err(|error| InstallError::of_call(call, error)),
        Err(error) => {
            // The module must not take a broken stream for a complete one.
            download.running.end();
            Err(error)
        }
    };
    tree.close_streams().map_err(tree_error)?;
    outcome.map(|_| ())
}

struct Download<'a> {
    running: Running,
    call: &'static str,
    tree: &'a WorkTree,
    with_sizes: bool,
}

/// What the module does with the payload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Undecided,
    Streams,
    LeavesItToUs,
}

impl Download<'_> {
    /// Gives out all files; on return the module has read the last line or has ended well.
    fn feed(&mut self, payload: &mut Payload<'_, Source>) -> Result<(), InstallError> {
        let mut mode = Mode::Undecided;
        while let Some(mut file) = payload.next_file()? {
            if mode != Mode::LeavesItToUs {
                let (name, path) =
                    self.tree.add_stream(file.name()).map_err(InstallError::Stream)?;
                mode = match self.open(&self.tree.stream_next())? {
                    Some(next) => {
                        self.write(&next, self.line(&name, &file).as_bytes())?;
                        drop(next);
                        self.stream(&path, &mut file)?;
                        mode = Mode::Streams;
                        continue;
                    }
                    None if mode == Mode::Undecided => Mode::LeavesItToUs,
                    None => return Err(InstallError::NotDrained),
                };
            }
            self.store(&mut file)?;
        }
        // Opening and closing is the empty line that ends the stream.
        match self.open(&self.tree.stream_next()) {
            Ok(None) if mode == Mode::Streams => Err(InstallError::NotDrained),
            other => other.map(|_| ()),
        }
    }

    fn line(&self, name: &str, file: &PayloadFile<'_>) -> String {
        if self.with_sizes {
            format!("{name} {}\n", file.size_bytes())
        } else {
            format!("{name}\n")
        }
    }

    /// Copies one file into its FIFO. The last bytes only come if the checksum is right.
    fn stream(&mut self, path: &Path, file: &mut PayloadFile<'_>) -> Result<(), InstallError> {
        let fifo = self.open(path)?.ok_or(InstallError::NotDrained)?;
        copy(file, |chunk, waited| {
            // The time limit is for the module, not for the network.
            self.running.extend(waited);
            self.write(&fifo, chunk)
        })
    }

    /// Stores one file in the tree.
    fn store(&mut self, file: &mut PayloadFile<'_>) -> Result<(), InstallError> {
        let tree_error = |source| InstallError::Tree {
            path: self.tree.path().join("files").display().to_string(),
            source,
        };
        let mut stored = self.tree.create_file(file.name()).map_err(tree_error)?;
        copy(file, |chunk, _| stored.write_all(chunk).map_err(tree_error))?;
        stored.sync_all().map_err(tree_error)
    }

    /// Opens a FIFO once the module reads it; `None` when the module ended well instead.
    fn open(&mut self, path: &Path) -> Result<Option<File>, InstallError> {
        loop {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::open(path, flags, FileMode::empty()) {
                Ok(fifo) => return Ok(Some(File::from(fifo))),
                // Nobody reads it yet.
                Err(Errno::NXIO) => {}
                Err(error) => return Err(InstallError::Stream(error.into())),
            }
            if self.has_ended()? {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    /// Writes to a FIFO, as fast as the module reads.
    fn write(&mut self, mut fifo: &File, mut bytes: &[u8]) -> Result<(), InstallError> {
        while !bytes.is_empty() {
            match fifo.write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.has_ended()? {
                        return Err(InstallError::NotDrained);
                    }
                    wait_until_writable(fifo).map_err(InstallError::Stream)?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Err(InstallError::NotDrained);
                }
                Err(error) => return Err(InstallError::Stream(error)),
            }
        }
        Ok(())
    }

    /// Whether the module has ended, and well.
    fn has_ended(&mut self) -> Result<bool, InstallError> {
        let failed = |error| InstallError::of_call(self.call, error);
        let Some(status) = self.running.look().map_err(failed)? else { return Ok(false) };
        self.running.check(status).map_err(failed)?;
        Ok(true)
    }
}

/// Reads a payload file to its end; `write` is told how long each piece took to come.
fn copy(
    file: &mut PayloadFile<'_>,
    mut write: impl FnMut(&[u8], Duration) -> Result<(), InstallError>,
) -> Result<(), InstallError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let started = Instant::now();
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => write(buffer.get(..count).unwrap_or_default(), started.elapsed())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(rota_artifact::Error::from_read(error).into()),
        }
    }
}

fn wait_until_writable(fifo: &File) -> io::Result<()> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    match poll(&mut [PollFd::new(fifo, PollFlags::OUT)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
