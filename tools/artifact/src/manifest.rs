//! `manifest`: the SHA-256 sum of every file in the Artifact, and what a signature covers.

use std::collections::BTreeSet;

use crate::{Checksum, Error, name};

/// The folder of payload files in the manifest's names.
pub(crate) const DATA_PREFIX: &str = "data/0000/";
/// The manifest's name for the version document.
pub(crate) const VERSION: &str = "version";

/// A parsed manifest together with its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<ManifestEntry>,
    raw: Vec<u8>,
}

/// One line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestEntry {
    /// `version`, `header.tar` with its suffix, or `data/0000/` and a base name.
    pub name: String,
    /// Sum of the member as it stands in the file; for payload files, of their unpacked content.
    pub checksum: Checksum,
}

impl Manifest {
    /// Reads lines of 64 lower-case hexadecimal digits, two spaces and a name, each ended by a
    /// line feed.
    pub(crate) fn parse(raw: Vec<u8>) -> Result<Self, Error> {
        let text = std::str::from_utf8(&raw)
            .map_err(|_| Error::Manifest { line: 1, reason: "not UTF-8" })?;
        let mut entries = Vec::new();
        let mut names = BTreeSet::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let entry =
                parse_line(line).map_err(|reason| Error::Manifest { line: index + 1, reason })?;
            check_name(&entry.name, index + 1)?;
            if !names.insert(entry.name.clone()) {
                return Err(Error::DuplicateName { name: entry.name });
            }
            entries.push(entry);
        }
        Ok(Self { entries, raw })
    }

    /// The lines, in the order in which they are written.
    pub fn entries(&self) -> &[ManifestEntry] {
        &self.entries
    }

    /// The payload files: base name and sum.
    pub fn payload_files(&self) -> impl Iterator<Item = (&str, Checksum)> {
        self.entries.iter().filter_map(|entry| {
            entry.name.strip_prefix(DATA_PREFIX).map(|name| (name, entry.checksum))
        })
    }

    /// The sum listed under `name`.
    pub fn get(&self, name: &str) -> Option<Checksum> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.checksum)
    }

    /// The manifest as it stands in the file: the message that is signed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }
}

fn parse_line(line: &str) -> Result<ManifestEntry, &'static str> {
    let line = line.strip_suffix('\n').ok_or("no line feed at the end")?;
    if line.ends_with('\r') {
        return Err("the line ends with a carriage return");
    }
    let (sum, name) = line.split_once("  ").ok_or("expected a checksum, two spaces and a name")?;
    let checksum =
        sum.parse().map_err(|_| "the checksum is not 64 lower-case hexadecimal digits")?;
    Ok(ManifestEntry { name: name.to_owned(), checksum })
}

fn check_name(listed: &str, line: usize) -> Result<(), Error> {
    if listed == VERSION || listed.starts_with("header.tar") && !listed.contains('/') {
        return Ok(());
    }
    if let Some(base) = listed.strip_prefix(DATA_PREFIX) {
        return name::check_file(base);
    }
    name::check_relative(listed)?;
    let reason = "expected version, header.tar or a file in data/0000/";
    Err(Error::Manifest { line, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

    fn parse(text: impl Into<Vec<u8>>) -> Result<Manifest, Error> {
        Manifest::parse(text.into())
    }

    #[test]
    fn lines_are_read_in_order_and_kept_as_bytes() {
        let text = format!("{SUM}  data/0000/b.txt\n{SUM}  header.tar.gz\n{SUM}  version\n");
        let manifest = parse(text.clone()).unwrap();
        let names: Vec<_> = manifest.entries().iter().map(|entry| &*entry.name).collect();
        assert_eq!(names, ["data/0000/b.txt", "header.tar.gz", "version"]);
        assert_eq!(manifest.as_bytes(), text.as_bytes());
        assert_eq!(manifest.payload_files().collect::<Vec<_>>(), [("b.txt", SUM.parse().unwrap())]);
        assert_eq!(manifest.get("header.tar"), None);
    }

    #[test]
    fn malformed_lines_are_refused_with_their_number() {
        for line in [
            format!("{SUM} version\n"),
            format!("{SUM}  version\r\n"),
            format!("{}  version\n", SUM.to_uppercase()),
            format!("{SUM}  version"),
            format!("{SUM}  data/0001/b.txt\n"),
            format!("{SUM}  manifest\n"),
            "\n".to_owned(),
        ] {
            let text = format!("{SUM}  header.tar\n{line}");
            assert!(matches!(parse(&*text), Err(Error::Manifest { line: 2, .. })), "{line:?}");
        }
        assert!(matches!(parse([0xff]), Err(Error::Manifest { .. })));
    }

    #[test]
    fn names_that_leave_their_folder_are_refused() {
        let entry = |name: &str| parse(format!("{SUM}  {name}\n"));
        assert!(matches!(entry("data/0000/.."), Err(Error::PathEscapes { .. })));
        assert!(matches!(entry("data/0000/../b"), Err(Error::PathEscapes { .. })));
        assert!(matches!(entry("../b"), Err(Error::PathEscapes { .. })));
        assert!(matches!(entry("/etc/passwd"), Err(Error::AbsolutePath { .. })));
        assert!(matches!(entry("data/0000/a b"), Err(Error::ForbiddenName { .. })));
    }

    #[test]
    fn a_name_listed_twice_is_refused() {
        let text = format!("{SUM}  version\n{SUM}  version\n");
        assert!(matches!(parse(text), Err(Error::DuplicateName { .. })));
    }
}
