//! The fleet's table: redrawn in place on a terminal, printed at each change elsewhere.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;

/// One device's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The device's serial number.
    pub(crate) serial: usize,
    /// The version on its disk.
    pub(crate) on_disk: String,
    /// What the server says of it in the running deployment.
    pub(crate) status: String,
}

/// What has been drawn so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    drawn: Option<Vec<Row>>,
}

impl Table {
    /// Shows the rows, if they changed.
    pub(crate) fn show(&mut self, rows: Vec<Row>) -> Result<()> {
        if self.drawn.as_ref() == Some(&rows) {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            self.redraw(&mut out, &rows)?;
        } else {
            let cells: Vec<String> = rows
                .iter()
                .map(|row| format!("{}:{}/{}", row.serial, row.on_disk, row.status))
                .collect();
            writeln!(out, "  {}", cells.join("  "))?;
        }
        out.flush()?;
        self.drawn = Some(rows);
        Ok(())
    }

    /// Leaves what is drawn as it stands; the next rows are drawn below.
    pub(crate) fn settle(&mut self) {
        self.drawn = None;
    }

    fn redraw(&self, out: &mut impl Write, rows: &[Row]) -> Result<()> {
        if let Some(drawn) = &self.drawn {
            // Up over what was drawn: the heading and a line for each device.
            write!(out, "\u{1b}[{}A", drawn.len() + 1)?;
        }
        writeln!(out, "\u{1b}[2K  device   on disk   server says")?;
        for row in rows {
            writeln!(out, "\u{1b}[2K  {:<8} {:<9} {}", row.serial, row.on_disk, row.status)?;
        }
        Ok(())
    }
}
