//! How results are written: tables that line up, or one JSON document.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cli::Format;

/// Rows under headings, each column as wide as its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// The table's lines.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}", width = *width))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// A server's or device's text without the characters that steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A time as people read it: `2026-03-01 12:30:05 UTC`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Writes a result: the table for people, the value for programs.
pub(crate) fn result(format: Format, value: &impl Serialize, table: &Table) -> Result<()> {
    match format {
        Format::Text => data(&table.render()),
        Format::Json => json(value),
    }
}

/// Writes a sentence for people, the value for programs.
pub(crate) fn done(format: Format, value: &impl Serialize, sentence: &str) -> Result<()> {
    match format {
        Format::Text => data(&format!("{sentence}\n")),
        Format::Json => json(value),
    }
}

/// Writes a JSON document on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    data(&format!("{}\n", serde_json::to_string(value)?))
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
pub(crate) fn data(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Tells people what went wrong, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "rotactl: {error:#}");
}

/// Asks a question on the terminal and reads the answer without showing it.
pub(crate) fn ask_secret(question: &str) -> Result<String> {
    let input = io::stdin();
    anyhow::ensure!(
        input.is_terminal(),
        "no terminal to ask for the password; give --password-file"
    );
    write!(io::stderr(), "{question}: ")?;
    let shown = rustix::termios::tcgetattr(&input)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(rustix::termios::LocalModes::ECHO);
    rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Flush, &hidden)?;
    let mut answer = String::new();
    let read = input.read_line(&mut answer);
    rustix::termios::tcsetattr(&input, rustix::termios::OptionalActions::Flush, &shown)?;
    writeln!(io::stderr())?;
    read?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let mut table = Table::new(&["id", "status"]);
        table.row(["a-long-id".to_owned(), "ok".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        assert_eq!(table.render(), "id         status\na-long-id  ok\nb\n");
    }

    #[test]
    fn a_device_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
