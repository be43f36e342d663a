//! What whoever waits for the run reads.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::OnceLock,
    time::Instant,
};

/// Prints a line with the seconds since the first one.
pub(crate) fn say(what: impl Display) {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let seconds = BEGIN.get_or_init(Instant::now).elapsed().as_secs();
    // Nobody reads it; the exit code says the rest.
    let _ = writeln!(io::stdout(), "{seconds:>5} s  {what}");
}
