//! The table that is printed at the end, and what is said on the way.

use std::{io::Write, time::Duration};

use anyhow::Result;

/// Rows of measurements.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// A ratio of ours to the other's, with both absolutes.
    pub(crate) fn ratio(&mut self, what: &str, ours: f64, other: f64, unit: &str, against: &str) {
        self.rows.push([
            what.to_owned(),
            format!("{:.2}", ours / other),
            format!("{} {unit}", figure(ours)),
            format!("{} {unit} {against}", figure(other)),
        ]);
    }

    /// How much of a bare program's speed is left: its cost over ours.
    pub(crate) fn share(&mut self, what: &str, ours: f64, bare: f64, unit: &str) {
        self.rows.push([
            what.to_owned(),
            format!("{:.2}", bare / ours),
            format!("{} {unit}", figure(ours)),
            format!("{} {unit} bare", figure(bare)),
        ]);
    }

    /// A figure that has nothing to be compared with.
    pub(crate) fn absolute(&mut self, what: &str, value: f64, unit: &str) {
        let value = format!("{} {unit}", figure(value));
        self.rows.push([what.to_owned(), "-".to_owned(), value, "-".to_owned()]);
    }

    /// A figure that is not to be had here, and why.
    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.rows.push([what.to_owned(), "-".to_owned(), "-".to_owned(), why.to_owned()]);
    }

    /// Prints the table to standard output.
    pub(crate) fn print(&self) -> Result<()> {
        let head = ["what", "ratio", "ours", "the other"].map(str::to_owned);
        let all: Vec<&[String; 4]> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
        let widths = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        let mut out = std::io::stdout().lock();
        for row in all {
            let [what, ratio, ours, other] = row;
            writeln!(
                out,
                "{what:<0$}  {ratio:>1$}  {ours:>2$}  {other:<3$}",
                widths[0], widths[1], widths[2], widths[3]
            )?;
        }
        Ok(())
    }
}

/// Three significant digits.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The middle value; the lower of the two middle ones where there are two.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value that `share` (0..=1) of the values do not exceed; 0 where there are none.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a slice, rounded up"
    )]
    let index = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(index).copied().unwrap_or(0.0)
}

/// Milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Says on standard error what is going on.
pub(crate) fn progress(what: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}

/// Tells what went wrong, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "bench: {error:#}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert!((median(&mut values) - 3.0).abs() < f64::EPSILON);
        assert!((percentile(&mut values, 0.99) - 5.0).abs() < f64::EPSILON);
        assert!(percentile(&mut [], 0.5).abs() < f64::EPSILON);
    }
}
