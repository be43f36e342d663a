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

/// A watcher that logs a line now and then.
pub fn logger(log: Log) -> Box<dyn FnMut(Progress) + Send> {
    let mut last_step = 0;
    Box::new(move |progress| {
        let (step, text) = match progress.percent() {
            Some(percent) => {
                let step = percent / STEP_PERCENT;
                (step, format!("download: {} %", step * STEP_PERCENT))
            }
            None => {
                let step = progress.done_bytes / STEP_BYTES;
                (step, format!("download: {} MiB", progress.done_bytes >> 20))
            }
        };
        if step > last_step {
            last_step = step;
            log.info(text);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::log::Level;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(source: Source) -> Vec<String> {
        let lines = Lines::default();
        let log = Log::new(Level::Info, Box::new(lines.clone()));
        let mut watched = Watched::new(source, logger(log));
        let mut buffer = [0; 7];
        while watched.read(&mut buffer).unwrap() > 0 {}
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(|line| line.split_once("download: ")).map(|l| l.1.into()).collect()
    }

    #[test]
    fn every_tenth_is_logged_once() {
        let tenths: Vec<_> = (1..=10).map(|tenth| format!("{}0 %", tenth)).collect();
        assert_eq!(logged(Box::new(io::Cursor::new(vec![0; 1000]))), tenths);
        // Three pieces: what is passed in between is not made up.
        assert_eq!(logged(Box::new(io::Cursor::new(vec![0; 21]))), ["30 %", "60 %", "100 %"]);
        assert_eq!(logged(Box::new(io::empty())), ["100 %"]);
    }

    #[test]
    fn percents_need_a_size() {
        let of = |done_bytes, size_bytes| {
            Progress { done_bytes, size_bytes, elapsed: Duration::ZERO }.percent()
        };
        assert_eq!(of(5, None), None);
        assert_eq!(of(1, Some(3)), Some(33));
        assert_eq!(of(0, Some(0)), Some(100));
        assert_eq!(of(9, Some(3)), Some(100));
    }
}
