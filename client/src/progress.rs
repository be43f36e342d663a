//! How far a download has come.

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use crate::{
    log::Log,
    modules::{Source, Stream},
};

/// Steps in which a download of known size is logged.
const STEP_PERCENT: u64 = 10;

/// Steps in which a download of unknown size is logged.
const STEP_BYTES: u64 = 64 << 20;

/// Between two lines in the log.
const PAUSE: Duration = Duration::from_secs(5);

/// A look at a download that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done_bytes: u64,
    /// Unless the sender did not say.
    pub size_bytes: Option<u64>,
    pub elapsed: Duration,
}

impl Progress {
    /// Whole percents; `None` if the size is unknown. Of nothing everything is done.
    pub fn percent(&self) -> Option<u64> {
        let size_bytes = self.size_bytes?;
        let percent = self.done_bytes.saturating_mul(100).checked_div(size_bytes);
        Some(percent.unwrap_or(100).min(100))
    }
}

/// A stream that somebody watches.
pub struct Watched {
    source: Source,
    watcher: Box<dyn FnMut(Progress) + Send>,
    size_bytes: Option<u64>,
    done_bytes: u64,
    started: Instant,
}

impl Watched {
    /// `watcher` is called after each piece that was read.
    pub fn new(source: Source, watcher: Box<dyn FnMut(Progress) + Send>) -> Self {
        let size_bytes = source.size_bytes();
        Self { source, watcher, size_bytes, done_bytes: 0, started: Instant::now() }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.done_bytes += count as u64;
        (self.watcher)(Progress {
            done_bytes: self.done_bytes,
            size_bytes: self.size_bytes,
            elapsed: self.started.elapsed(),
        });
        Ok(count)
    }
}

impl Stream for Watched {
    fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }
}

/// A watcher that logs each step of a download that takes its time.
pub fn logger(log: Log) -> Box<dyn FnMut(Progress) + Send> {
    let mut steps = Steps::default();
    Box::new(move |progress| {
        if let Some(text) = steps.text(progress) {
            log.info(format_args!("download: {text}"));
        }
    })
}

#[derive(Debug, Default)]
struct Steps {
    last: u64,
    logged: Duration,
}

impl Steps {
    /// What is worth a line.
    fn text(&mut self, progress: Progress) -> Option<String> {
        let bytes = progress.done_bytes;
        let (step, text) = match progress.percent() {
            Some(percent) => (percent / STEP_PERCENT, format!("{percent} %")),
            None => (bytes / STEP_BYTES, format!("{} MiB", bytes >> 20)),
        };
        if step <= self.last || progress.elapsed < self.logged + PAUSE {
            return None;
        }
        (self.last, self.logged) = (step, progress.elapsed);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn at(seconds: u64, done_bytes: u64, size_bytes: Option<u64>) -> Progress {
        Progress { done_bytes, size_bytes, elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_line_needs_a_step_and_some_time() {
        let mut steps = Steps::default();
        let mut text = |seconds, bytes| steps.text(at(seconds, bytes, Some(1000)));
        assert_eq!(text(1, 500), None);
        assert_eq!(text(5, 570).as_deref(), Some("57 %"));
        assert_eq!(text(60, 590), None);
        assert_eq!(text(61, 600).as_deref(), Some("60 %"));
        assert_eq!(text(62, 1000), None);

        let mut steps = Steps::default();
        assert_eq!(steps.text(at(10, 63 << 20, None)), None);
        assert_eq!(steps.text(at(10, 65 << 20, None)).as_deref(), Some("65 MiB"));
    }

    #[test]
    fn percents_need_a_size() {
        for (done_bytes, size_bytes, percent) in [
            (5, None, None),
            (1, Some(3), Some(33)),
            (0, Some(0), Some(100)),
            (9, Some(3), Some(100)),
        ] {
            assert_eq!(at(0, done_bytes, size_bytes).percent(), percent);
        }
    }

    #[test]
    fn whoever_watches_sees_every_byte() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watcher = {
            let seen = seen.clone();
            move |progress: Progress| seen.lock().unwrap().push(progress.done_bytes)
        };
        let mut watched = Watched::new(Box::new(io::Cursor::new(*b"12345")), Box::new(watcher));
        assert_eq!(watched.size_bytes(), Some(5));
        let mut buffer = [0; 2];
        while watched.read(&mut buffer).unwrap() > 0 {}
        assert_eq!(*seen.lock().unwrap(), [2, 4, 5, 5]);
    }
}
