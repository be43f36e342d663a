//! What programs print: read by threads of their own, so that no program waits for the client.

use std::{
    io::{ErrorKind, Read},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::log::Log;

/// How long to wait for output after the program has ended: a process that it left behind may hold
/// the pipe for ever.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Longer lines are logged in pieces.
const MAX_LINE_BYTES: usize = 4096;

/// Logs what a program prints, line by line.
pub(super) struct LineLog {
    log: Log,
    prefix: String,
    line: Vec<u8>,
}

impl LineLog {
    /// Puts `prefix` before each line.
    pub(super) fn new(log: &Log, prefix: String) -> Self {
        Self { log: log.clone(), prefix, line: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.flush();
            } else {
                self.line.push(*byte);
                if self.line.len() >= MAX_LINE_BYTES {
                    self.flush();
                }
            }
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let line = String::from_utf8_lossy(&self.line);
            self.log.info(format_args!("{}{line}", self.prefix));
            self.line.clear();
        }
    }
}

/// A pipe that is read to its end in a thread of its own.
#[derive(Debug)]
pub(super) struct Collected {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: Receiver<()>,
}

impl Collected {
    /// What was kept. A process that the program left behind may hold the pipe open, so the end is
    /// only awaited for a while.
    pub(super) fn take(&self) -> Vec<u8> {
        let _ = self.ended.recv_timeout(OUTPUT_GRACE);
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the first bytes of a pipe, logs all its lines.
pub(super) fn collect(
    pipe: Option<impl Read + Send + 'static>,
    keep_bytes: usize,
    mut lines: Option<LineLog>,
) -> Collected {
    let (sender, ended) = sync_channel(1);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let collected = Collected { kept: kept.clone(), ended };
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut pipe = pipe;
        while let Some(pipe) = &mut pipe {
            let bytes = match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let room = keep_bytes.saturating_sub(kept.len()).min(bytes.len());
            kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
            drop(kept);
            if let Some(lines) = &mut lines {
                lines.take(bytes);
            }
        }
        if let Some(lines) = &mut lines {
            lines.flush();
        }
        // Nobody listens any more when the program was given up.
        let _ = sender.send(());
    });
    collected
}
