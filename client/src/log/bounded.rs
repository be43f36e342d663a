//! A log file that cannot fill a disk: of a long one the beginning and the end are kept.
//!
//! When the file has reached its limit, a shorter one is written beside it and takes its place: the
//! first lines, one line that says how many bytes are missing, and the last lines. That happens once
//! in many thousand lines, and a power cut leaves the one file or the other.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{Level, deployment::line};
use crate::{private_files, time::rfc3339};

/// What a file holds at most. Servers take a log of 1,000,000 bytes; this leaves room for the notes
/// that are sent with it.
pub(super) const MAX_BYTES: u64 = 900_000;

/// Of a file that has become too long so much is kept: how it began, and what came last.
const HEAD_BYTES: u64 = 300_000;
const TAIL_BYTES: u64 = 300_000;

/// The line about what is missing is shorter.
const LONGEST_NOTE: u64 = 256;

/// As long as a file cannot be shortened nothing is added to it. It is tried again after so much.
const RETRY_BYTES: u64 = 64 << 10;

/// What the shorter file is called before it is whole.
const NEW: &str = "deployments.log.new";

const NOTE: (&str, &str) = ("(", " BYTES OF THIS LOG ARE MISSING HERE, IT WAS TOO BIG)");

/// A log file, open for writing; every `write` gets one whole line.
pub(super) struct BoundedFile {
    file: File,
    path: PathBuf,
    length: u64,
    /// What was not written since the file could not be shortened.
    missed: u64,
    retry_at: u64,
}

impl BoundedFile {
    /// Opens a file to write behind what is in it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // What a power cut has left; most often nothing.
        let _ = fs::remove_file(path.with_file_name(NEW));
        let file = private_files::open_to_append(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, path: path.to_owned(), length, missed: 0, retry_at: 0 })
    }

    fn shorten(&mut self) -> io::Result<()> {
        let content = shortened(&mut File::open(&self.path)?, self.length, self.missed)?;
        let new = self.path.with_file_name(NEW);
        let mut file = private_files::create(&new)?;
        file.write_all(&content)?;
        // Else a power cut may leave an empty file under the old name.
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        (self.file, self.length) = (file, content.len() as u64);
        (self.missed, self.retry_at) = (0, 0);
        Ok(())
    }
}

impl Write for BoundedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let bytes = line.len() as u64;
        if self.length + bytes > MAX_BYTES {
            let shortened = if self.missed >= self.retry_at { self.shorten() } else { Ok(()) };
            if self.length + bytes > MAX_BYTES {
                if shortened.is_err() {
                    self.retry_at = self.missed + RETRY_BYTES;
                }
                self.missed += bytes;
                return shortened.map(|()| line.len());
            }
        }
        self.file.write_all(line)?;
        self.length += bytes;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is kept of a file of `length` bytes, behind which `missed` more should stand.
fn shortened(file: &mut File, length: u64, missed: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    Read::by_ref(file).take(HEAD_BYTES + LONGEST_NOTE).read_to_end(&mut kept)?;
    let (head_end, rest, missing_before) = end_of_head(&kept);
    kept.truncate(head_end);

    let mut tail_start = length.saturating_sub(TAIL_BYTES).max(rest);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(tail_start))?;
    Read::by_ref(file).take(length.saturating_sub(tail_start)).read_to_end(&mut tail)?;
    let is_within_a_line = tail_start > rest;
    let skipped = if is_within_a_line { end_of_line(&tail).unwrap_or(tail.len()) } else { 0 };
    tail_start += skipped as u64;

    let missing = missing_before + missed + tail_start.saturating_sub(rest);
    let text = format!("{}{missing}{}", NOTE.0, NOTE.1);
    kept.extend(line(&rfc3339(SystemTime::now()), Level::Warning, &text).into_bytes());
    kept.extend(tail.into_iter().skip(skipped));
    Ok(kept)
}

/// Where the beginning that is kept ends, where what follows begins, and how much is missing between
/// them already.
fn end_of_head(start: &[u8]) -> (usize, u64, u64) {
    let (mut end, mut head_end) = (0, 0);
    while let Some(length) = start.get(end..).and_then(end_of_line) {
        let line = start.get(end..end + length).unwrap_or_default();
        if let Some(missing) = missing(line) {
            return (end, (end + length) as u64, missing);
        }
        end += length;
        if end as u64 <= HEAD_BYTES {
            head_end = end;
        }
    }
    (head_end, head_end as u64, 0)
}

fn end_of_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|place| place + 1)
}

/// How much is missing, if the line says that.
fn missing(line: &[u8]) -> Option<u64> {
    if line.len() as u64 > LONGEST_NOTE {
        return None;
    }
    let message: rota_rest::device::LogMessage = serde_json::from_slice(line).ok()?;
    message.message.strip_prefix(NOTE.0)?.strip_suffix(NOTE.1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Talk {
        folder: tempfile::TempDir,
        said: u64,
    }

    impl Talk {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap(), said: 0 }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("deployments.0000.d1.log")
        }

        fn open(&self) -> BoundedFile {
            BoundedFile::open(&self.path()).unwrap()
        }

        /// Writes lines of 100 bytes, which are numbered.
        fn say(&mut self, file: &mut BoundedFile, lines: u64) {
            for _ in 0..lines {
                let text = format!("{:>31}", self.said);
                let line = line("2026-11-21T00:00:00.000Z", Level::Info, &text);
                assert_eq!(line.len(), 100, "{line}");
                // A failure is one of the things that are tested.
                let _ = file.write_all(line.as_bytes());
                self.said += 1;
            }
        }

        fn lines(&self) -> Vec<String> {
            fs::read_to_string(self.path()).unwrap().lines().map(str::to_owned).collect()
        }

        /// What is there must be the beginning and the end, and what is missing must be said.
        fn check(&self) {
            let lines = self.lines();
            let number = |line: &String| -> u64 {
                let message: rota_rest::device::LogMessage = serde_json::from_str(line).unwrap();
                message.message.trim().parse().unwrap()
            };
            let notes: Vec<_> =
                (0..lines.len()).filter(|at| missing(lines[*at].as_bytes()).is_some()).collect();
            let (head, missing) = match notes[..] {
                [] => (lines.len(), 0),
                [at] => (at, missing(lines[at].as_bytes()).unwrap()),
                _ => panic!("{notes:?}"),
            };
            assert!(lines[..head].iter().map(number).eq(0..head as u64));
            let tail: Vec<_> = lines.iter().skip(head + 1).map(number).collect();
            assert!(tail.iter().copied().eq(self.said - tail.len() as u64..self.said));
            assert_eq!(missing, (self.said - head as u64 - tail.len() as u64) * 100);
        }
    }

    #[test]
    fn a_file_keeps_its_beginning_and_its_end_within_its_limit() {
        let mut talk = Talk::new();
        let mut file = talk.open();
        for _ in 0..60 {
            talk.say(&mut file, 1000);
            assert!(fs::metadata(talk.path()).unwrap().len() <= MAX_BYTES);
            talk.check();
        }
        assert!(talk.lines().len() > 5990, "no more is dropped than must be");
    }

    #[test]
    fn a_client_that_is_started_again_goes_on_with_the_file() {
        let mut talk = Talk::new();
        for _ in 0..20 {
            // A power cut has left half a file.
            fs::write(talk.path().with_file_name(NEW), "half").unwrap();
            let mut file = talk.open();
            talk.say(&mut file, 2500);
            talk.check();
        }
        assert!(!talk.path().with_file_name(NEW).exists());
    }

    #[test]
    fn nobody_else_can_read_it_be_it_old_new_or_shortened() {
        use std::os::unix::fs::PermissionsExt;

        let mut talk = Talk::new();
        fs::write(talk.path(), "").unwrap();
        fs::set_permissions(talk.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let mode = |talk: &Talk| fs::metadata(talk.path()).unwrap().permissions().mode() & 0o777;
        let mut file = talk.open();
        assert_eq!(mode(&talk), 0o600);
        talk.say(&mut file, 9001);
        assert!(talk.lines().len() < 9000);
        assert_eq!(mode(&talk), 0o600);
    }

    #[test]
    fn a_file_that_cannot_be_shortened_does_not_grow() {
        let mut talk = Talk::new();
        let mut file = talk.open();
        talk.say(&mut file, 9000);
        let obstacle = talk.path().with_file_name(NEW);
        fs::create_dir(&obstacle).unwrap();
        talk.say(&mut file, 1500);
        assert_eq!(fs::metadata(talk.path()).unwrap().len(), MAX_BYTES);
        fs::remove_dir(&obstacle).unwrap();
        talk.say(&mut file, 1500);
        let lines = talk.lines();
        assert!(missing(lines[3000].as_bytes()).unwrap() > 300_000, "{}", lines[3000]);
        assert!(lines.last().unwrap().contains("11999"), "{:?}", lines.last());
    }

    #[test]
    fn a_file_that_was_too_long_before_is_shortened() {
        let mut talk = Talk::new();
        let line = line("2026-11-21T00:00:00.000Z", Level::Info, "from another client");
        fs::write(talk.path(), line.repeat(30_000)).unwrap();
        let mut file = talk.open();
        talk.say(&mut file, 1);
        assert!(fs::metadata(talk.path()).unwrap().len() < 2 * HEAD_BYTES + 1000);
        let all = fs::read_to_string(talk.path()).unwrap();
        assert_eq!(all.lines().filter(|line| missing(line.as_bytes()).is_some()).count(), 1);
    }

    #[test]
    fn a_line_without_an_end_does_not_hold_the_rest() {
        let talk = Talk::new();
        fs::write(talk.path(), "x".repeat(2_000_000)).unwrap();
        let mut file = talk.open();
        file.write_all(b"{}\n").unwrap();
        let lines = talk.lines();
        assert_eq!((missing(lines[0].as_bytes()), &*lines[1]), (Some(2_000_000), "{}"));
    }
}
