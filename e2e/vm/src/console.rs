//! What a machine prints on its serial line, over all its starts.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

/// A machine's console log.
#[derive(Debug)]
pub(crate) struct Console {
    path: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark(usize);

/// A system that has started, as its first line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Boot {
    /// The system's name.
    pub(crate) system: String,
    /// The number of its partition.
    pub(crate) partition: String,
    /// The kernel's own name for this start.
    pub(crate) id: String,
}

impl Console {
    /// The log at this path, which is empty as long as it does not exist.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its end for now.
    pub(crate) fn mark(&self) -> io::Result<Mark> {
        Ok(Mark(self.bytes()?.len()))
    }

    /// What was printed since.
    pub(crate) fn since(&self, mark: Mark) -> io::Result<String> {
        let bytes = self.bytes()?;
        Ok(String::from_utf8_lossy(bytes.get(mark.0..).unwrap_or_default()).into_owned())
    }

    /// The start that came last since then.
    pub(crate) fn last_boot(&self, mark: Mark) -> io::Result<Option<Boot>> {
        Ok(self.since(mark)?.lines().filter_map(Boot::parse).next_back())
    }

    /// Adds a line of our own; the machine must be off.
    pub(crate) fn note(&self, what: &str) -> io::Result<()> {
        let mut log = File::options().create(true).append(true).open(&self.path)?;
        writeln!(log, "\n--- {what}")
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        }
    }
}

impl Boot {
    /// `vm: system two on partition 3, boot 0b6c…`; see `assets/guest/rc`.
    fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.split_once("vm: system ")?;
        let (system, line) = line.split_once(" on partition ")?;
        let (partition, id) = line.split_once(", boot ")?;
        // A line that was cut off by a power cut has no whole id.
        let id = id.trim_end();
        (id.len() == 36).then(|| Self {
            system: system.to_owned(),
            partition: partition.to_owned(),
            id: id.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    #[test]
    fn the_last_start_counts() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let console = Console::new(file.path().to_owned());
        let id = "11111111-2222-3333-4444-555555555555";
        let boot =
            |system: &str, part: u8| format!("vm: system {system} on partition {part}, boot ");
        fs::write(file.path(), format!("grub\r\n{}{id}\r\n", boot("one", 2)))?;
        let mark = console.mark()?;
        let found = console.last_boot(Mark::default())?.map(|boot| (boot.system, boot.partition));
        assert_eq!(found, Some(("one".into(), "2".into())));
        assert_eq!(console.last_boot(mark)?, None);
        let before = fs::read_to_string(file.path())?;
        fs::write(file.path(), format!("{before}{}{id}\r\n{}1111", boot("two", 3), boot("x", 2)))?;
        assert_eq!(console.last_boot(mark)?.map(|boot| boot.system), Some("two".into()));
        Ok(())
    }
}
