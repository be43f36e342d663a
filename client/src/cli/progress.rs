//! The progress bar of an installation, on a terminal; elsewhere the log has a line now and then.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rota_client::progress::{Progress, logger};

use super::Device;

/// Between two drawings.
const REDRAW: Duration = Duration::from_millis(200);

/// How much the speed of the last moment counts against that of before.
const WEIGHT: f64 = 0.2;

const BAR_CELLS: u64 = 30;

/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[K";

/// Standard error, shared by the bar and the log: a line of the log takes the bar's place, and the
/// bar comes back below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Console {
    has_bar: Arc<AtomicBool>,
}

impl Console {
    fn clear(&self) {
        if self.has_bar.swap(false, Ordering::Relaxed) {
            // A terminal that went away needs no clearing.
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }

    fn draw(&self, text: &str) {
        self.has_bar.store(true, Ordering::Relaxed);
        let _ = write!(io::stderr(), "{CLEAR}{text}");
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.clear();
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Whoever shows how far an installation has come.
pub(super) fn watcher(device: &Device) -> Box<dyn FnMut(Progress) + Send> {
    if !io::stderr().is_terminal() {
        return logger(device.log.clone());
    }
    let mut bar = Bar { console: device.console.clone(), pace: Pace::default() };
    Box::new(move |progress| bar.show(progress))
}

struct Bar {
    console: Console,
    pace: Pace,
}

impl Bar {
    fn show(&mut self, progress: Progress) {
        if self.pace.advance(progress) {
            self.console.draw(&text(progress, self.pace.bytes_per_second));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.console.clear();
    }
}

/// When to draw, and how fast the download is.
#[derive(Debug, Default)]
struct Pace {
    drawn: Option<(Duration, u64)>,
    bytes_per_second: f64,
}

impl Pace {
    /// Whether it is time to draw.
    fn advance(&mut self, progress: Progress) -> bool {
        let (time, bytes) = self.drawn.unwrap_or_default();
        let passed = progress.elapsed.saturating_sub(time);
        if passed < REDRAW {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "for a person's eyes")]
        let speed = progress.done_bytes.saturating_sub(bytes) as f64 / passed.as_secs_f64();
        self.bytes_per_second = match self.drawn {
            None => speed,
            Some(_) => self.bytes_per_second.mul_add(1.0 - WEIGHT, speed * WEIGHT),
        };
        self.drawn = Some((progress.elapsed, progress.done_bytes));
        true
    }
}

fn text(progress: Progress, bytes_per_second: f64) -> String {
    let mut text = String::new();
    let done = size(progress.done_bytes);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest integer, and there are no negative speeds"
    )]
    let speed = size(bytes_per_second as u64);
    // Writing to a string cannot fail.
    let _ = match (progress.percent(), progress.size_bytes) {
        (Some(percent), Some(size_bytes)) => {
            let filled = percent * BAR_CELLS / 100;
            let bar: String =
                (0..BAR_CELLS).map(|cell| if cell < filled { '#' } else { '.' }).collect();
            let total = size(size_bytes);
            write!(text, "[{bar}] {percent:>3} %  {done} of {total}  {speed}/s")
        }
        _ => write!(text, "{done}  {speed}/s"),
    };
    if let Some(left) = time_left(progress, bytes_per_second) {
        let seconds = left.as_secs();
        let _ = write!(text, "  {}:{:02} left", seconds / 60, seconds % 60);
    }
    text
}

/// `None` when nobody can say.
fn time_left(progress: Progress, bytes_per_second: f64) -> Option<Duration> {
    let left_bytes = progress.size_bytes?.saturating_sub(progress.done_bytes);
    #[expect(clippy::cast_precision_loss, reason = "for a person's eyes")]
    let seconds = left_bytes as f64 / bytes_per_second;
    Duration::try_from_secs_f64(seconds).ok().filter(|left| left.as_secs() < 100 * 3600)
}

/// A size in the unit that suits it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "for a person's eyes")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, mebibytes: u64, size_bytes: Option<u64>) -> Progress {
        Progress { done_bytes: mebibytes << 20, size_bytes, elapsed: Duration::from_secs(seconds) }
    }

    #[test]
    fn the_bar_shows_bytes_percents_speed_and_the_rest() {
        let size = Some(200 << 20);
        let mut pace = Pace::default();
        assert!(pace.advance(at(5, 50, size)));
        assert_eq!(
            text(at(5, 50, size), pace.bytes_per_second),
            "[#######.......................]  25 %  50.0 MiB of 200.0 MiB  10.0 MiB/s  0:15 left"
        );
        assert_eq!(text(at(5, 50, None), pace.bytes_per_second), "50.0 MiB  10.0 MiB/s");
        // Nothing has come yet: nobody knows how long it takes.
        assert_eq!(
            text(at(5, 0, size), 0.0),
            "[..............................]   0 %  0.0 KiB of 200.0 MiB  0.0 KiB/s"
        );
    }

    #[test]
    fn drawing_takes_its_time_and_the_speed_follows_slowly() {
        let mut pace = Pace::default();
        assert!(pace.advance(at(1, 10, None)));
        assert!(!pace.advance(at(1, 20, None)));
        assert!(pace.advance(at(2, 10, None)));
        let mebibytes_per_second = pace.bytes_per_second / f64::from(1 << 20);
        assert!((mebibytes_per_second - 8.0).abs() < 0.01, "{mebibytes_per_second}");
    }
}
