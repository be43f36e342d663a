//! A bar on standard error, if that is a terminal.

use std::io::Read;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total_bytes`; hidden without a terminal.
pub(crate) fn bar(total_bytes: u64, hidden: bool) -> ProgressBar {
    if hidden {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total_bytes), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {bytes:>10}/{total_bytes} {bytes_per_sec}");
    bar.with_style(style.expect("the template is well-formed"))
}

/// Passes `source` on, and moves the bar.
pub(crate) fn watch<R: Read>(bar: &ProgressBar, source: R) -> impl Read + use<R> {
    bar.wrap_read(source)
}
