//! The log of one deployment: JSON lines in a file of limited size, sent to the server when the
//! deployment fails.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rota_rest::device::LogMessage;

use super::{Level, Log, bounded::BoundedFile};
use crate::{
    machine::DeploymentId,
    time::{is_rfc3339, rfc3339},
};

/// How many logs are kept, the current one included.
const KEPT: usize = 5;

/// What the file system must have free before a log is written: an update matters more.
const MIN_FREE_BYTES: u64 = 100 << 10;

/// What a log takes as JSON, as Mender's client sends it: its servers accept one MiB.
const MAX_UPLOAD_BYTES: usize = 1_000_000 - 256;

/// Of a longer file no more is read: so much of it is sent at most.
const MAX_READ_BYTES: u64 = MAX_UPLOAD_BYTES as u64;

/// A longer message is cut: as JSON no line is longer than six times that.
const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// Times in a log are not longer, except in lines that others wrote.
const LONGEST_TIME: &str = "2026-11-21T00:00:00.000000000+00:00";

const CORRUPT: &str = "(CORRUPTED LOG DATA)";
const HAD_CORRUPT: &str = "(THE ORIGINAL LOGS CONTAINED INVALID ENTRIES)";
const TOO_BIG: &str = "(THE ORIGINAL LOGS WERE TOO BIG, EARLIER ENTRIES WERE REMOVED)";

/// Handling the log of a deployment went wrong.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("cannot write the deployment log {path}")]
    Write { path: String, source: io::Error },
    #[error("cannot read the deployment log {path}")]
    Read { path: String, source: io::Error },
    #[error("too little space for a deployment log in {path}")]
    NoSpace { path: String },
}

/// The folder of deployment logs: `deployments.0000.<id>.log` is the newest.
#[derive(Clone, Debug)]
pub struct DeploymentLogs {
    folder: PathBuf,
}

impl DeploymentLogs {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Sends all that is logged from now on to the log of `id` as well, behind what an earlier run
    /// has written there.
    pub fn open(&self, log: &Log, id: &DeploymentId) -> Result<(), LogError> {
        let path = self.path(0, id);
        if !path.exists() {
            self.rotate();
        }
        let free = free_bytes(&self.folder).unwrap_or(u64::MAX);
        if free < MIN_FREE_BYTES {
            return Err(LogError::NoSpace { path: self.folder.display().to_string() });
        }
        let file = BoundedFile::open(&path)
            .map_err(|source| LogError::Write { path: path.display().to_string(), source })?;
        log.attach(Box::new(file));
        Ok(())
    }

    /// Ends what [`open`](Self::open) began.
    pub fn close(&self, log: &Log) {
        log.detach();
    }

    /// The log of `id`, fit for the server: lines that no server would take are marked, and of a
    /// long log the newest part is kept.
    pub fn messages(&self, id: &DeploymentId) -> Result<Vec<LogMessage>, LogError> {
        let path = self.find(id);
        let read = || -> io::Result<(Vec<u8>, bool)> {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            let skipped = length.saturating_sub(MAX_READ_BYTES);
            file.seek(SeekFrom::Start(skipped))?;
            let mut content = Vec::new();
            file.take(MAX_READ_BYTES).read_to_end(&mut content)?;
            Ok((content, skipped > 0))
        };
        let (content, cut) =
            read().map_err(|source| LogError::Read { path: path.display().to_string(), source })?;
        Ok(messages(&content, cut))
    }

    /// The newest log of `id`, which other deployments may have followed.
    fn find(&self, id: &DeploymentId) -> PathBuf {
        let name = format!("{id}.log");
        let logs = self.existing().into_iter().filter(|(_, rest, _)| *rest == name);
        let newest = logs.min_by_key(|(number, ..)| *number);
        newest.map_or_else(|| self.path(0, id), |(.., path)| path)
    }

    fn path(&self, number: usize, id: &DeploymentId) -> PathBuf {
        self.folder.join(format!("deployments.{number:04}.{id}.log"))
    }

    /// Renumbers what is there, oldest first, and drops what is too old. A log that cannot be
    /// renamed is no reason not to update.
    fn rotate(&self) {
        let mut logs = self.existing();
        logs.sort_by_key(|log| std::cmp::Reverse(log.0));
        for (number, rest, path) in logs {
            let _ = if number + 1 >= KEPT {
                fs::remove_file(path)
            } else {
                let name = format!("deployments.{:04}.{rest}", number + 1);
                fs::rename(path, self.folder.join(name))
            };
        }
    }

    /// Number, name behind the number, and path of each log.
    fn existing(&self) -> Vec<(usize, String, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let parse = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let (number, rest) = name.strip_prefix("deployments.")?.split_once('.')?;
            rest.strip_suffix(".log")?;
            Some((number.parse().ok()?, rest.to_owned(), entry.path()))
        };
        entries.flatten().filter_map(parse).collect()
    }
}

pub(super) fn line(time: &str, level: Level, message: &str) -> String {
    let message = message.get(..message.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or(message);
    let json = serde_json::json!({
        "timestamp": time,
        "level": level.as_str(),
        "message": message,
    });
    format!("{json}\n")
}

fn messages(content: &[u8], cut: bool) -> Vec<LogMessage> {
    let text = String::from_utf8_lossy(content);
    // The first line of a part is most likely half a line.
    let lines = text.lines().skip(usize::from(cut)).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let dropped = lines.len() - how_many_fit(&lines);
    let mut messages = Vec::new();
    let mut any_corrupt = false;
    // A corrupt line takes the time of the one before.
    let mut last = rfc3339(SystemTime::UNIX_EPOCH);
    for line in lines.into_iter().skip(dropped) {
        let message = parse(line).unwrap_or_else(|| {
            any_corrupt = true;
            note(CORRUPT, &last)
        });
        last.clone_from(&message.timestamp);
        messages.push(message);
    }
    let first = messages.first().map_or(last, |message| message.timestamp.clone());
    if any_corrupt {
        messages.insert(0, note(HAD_CORRUPT, &first));
    }
    if cut || dropped > 0 {
        messages.insert(0, note(TOO_BIG, &first));
    }
    messages
}

/// Counts the newest lines that can be sent together, besides the notes before them.
fn how_many_fit(lines: &[&str]) -> usize {
    let note_bytes = |text| json_bytes(&note(text, LONGEST_TIME));
    let corrupt_bytes = note_bytes(CORRUPT);
    let mut used = note_bytes(TOO_BIG) + note_bytes(HAD_CORRUPT);
    let fitting = lines.iter().rev().take_while(|line| {
        used += parse(line).as_ref().map_or(corrupt_bytes, json_bytes);
        used <= MAX_UPLOAD_BYTES
    });
    fitting.count()
}

/// A line that a server takes.
fn parse(line: &str) -> Option<LogMessage> {
    let message: LogMessage = serde_json::from_str(line).ok()?;
    let is_time = is_rfc3339(&message.timestamp) && message.timestamp.len() <= LONGEST_TIME.len();
    let is_sound = is_time && Level::parse(&message.level).is_some();
    is_sound.then_some(message)
}

fn note(message: &str, timestamp: &str) -> LogMessage {
    LogMessage {
        timestamp: timestamp.to_owned(),
        level: Level::Error.as_str().to_owned(),
        message: message.to_owned(),
    }
}

/// With the comma behind it.
fn json_bytes(message: &LogMessage) -> usize {
    // Strings always become JSON.
    serde_json::to_string(message).map_or(0, |json| json.len() + 1)
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> DeploymentId {
        DeploymentId::try_from(text.to_owned()).unwrap()
    }

    fn quiet() -> Log {
        Log::new(Level::Error, Box::new(io::sink()))
    }

    #[test]
    fn lines_reach_the_log_of_their_deployment_and_append_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        for text in ["before the reboot", "after it"] {
            let log = quiet();
            logs.open(&log, &id("one")).unwrap();
            log.info(text);
            log.debug("not for the server");
            logs.close(&log);
            log.info("outside");
        }
        let texts: Vec<_> =
            logs.messages(&id("one")).unwrap().into_iter().map(|m| m.message).collect();
        assert_eq!(texts, ["before the reboot", "after it"]);
    }

    #[test]
    fn five_logs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        for number in 0..8 {
            logs.open(&quiet(), &id(&format!("d{number}"))).unwrap();
        }
        let mut names: Vec<_> = logs.existing().into_iter().map(|(n, rest, _)| (n, rest)).collect();
        names.sort();
        let expected: Vec<_> = (0..5).map(|n| (n, format!("d{}.log", 7 - n))).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn lines_that_no_server_takes_are_marked() {
        let good = line("2026-11-21T00:00:00.000Z", Level::Info, "fine");
        let timeless = line("yesterday", Level::Info, "fine");
        let levelless = r#"{"timestamp":"2026-11-21T00:00:00Z","level":"","message":"fine"}"#;
        for bad in ["garbage", timeless.trim_end(), levelless, r#"{"message":"fine"}"#] {
            let content = format!("{good}{bad}\n{good}");
            let messages = messages(content.as_bytes(), false);
            let texts: Vec<_> = messages.iter().map(|m| m.message.as_str()).collect();
            assert_eq!(texts, [HAD_CORRUPT, "fine", CORRUPT, "fine"], "{bad}");
            assert!(messages.iter().all(|m| m.timestamp.starts_with("2026-11-21")), "{bad}");
        }
        let half = &good.as_bytes()[..20];
        let texts: Vec<_> = messages(half, false).into_iter().map(|m| m.message).collect();
        assert_eq!(texts, [HAD_CORRUPT, CORRUPT]);
    }

    fn body_bytes(messages: &[LogMessage]) -> usize {
        let messages = messages.to_vec();
        serde_json::to_vec(&rota_rest::device::DeploymentLog { messages }).unwrap().len()
    }

    #[test]
    fn what_grows_when_it_is_sent_still_fits() {
        let short = "x\n".repeat(400_000);
        let escapes = line("2026-11-21T00:00:00Z", Level::Info, &"\u{1}".repeat(1000)).repeat(200);
        let no_text = vec![0xff; 900_000];
        for content in [short.as_bytes(), escapes.as_bytes(), &no_text] {
            let messages = messages(content, false);
            let bytes = body_bytes(&messages);
            assert!(bytes <= 1_000_000, "{bytes}");
            assert!(!messages.is_empty());
        }
        let all = messages(short.as_bytes(), false);
        assert!(body_bytes(&all) > 880_000, "no more is cut than must be");
    }

    #[test]
    fn of_a_long_log_the_beginning_and_the_end_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        let log = quiet();
        logs.open(&log, &id("long")).unwrap();
        for number in 0..12_000 {
            log.info(format!("line {number} of a log that is far too long to be sent as it is"));
        }
        log.info("\u{1}".repeat(1 << 20));
        log.info("the end");
        let messages = logs.messages(&id("long")).unwrap();
        assert!(messages[0].message.starts_with("line 0 "), "{:?}", messages[0]);
        assert_eq!(messages.last().unwrap().message, "the end");
        let bytes = body_bytes(&messages);
        assert!((600_000..=1_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn of_a_long_log_that_another_client_wrote_the_newest_part_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        let mut text = String::new();
        for number in 0..12_000 {
            let message =
                format!("line {number} of a log that is far too long to be sent as it is");
            text += &line("2026-11-21T00:00:00.000Z", Level::Info, &message);
        }
        fs::write(folder.path().join("deployments.0000.long.log"), text).unwrap();
        let messages = logs.messages(&id("long")).unwrap();
        assert_eq!(messages[0].message, TOO_BIG);
        assert!(messages.last().unwrap().message.starts_with("line 11999 "));
        let bytes = body_bytes(&messages);
        assert!((900_000..=1_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_log_of_a_deployment_is_found_behind_those_that_came_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        for name in ["one", "two", "three"] {
            let log = quiet();
            logs.open(&log, &id(name)).unwrap();
            log.info(name);
        }
        for name in ["one", "two", "three"] {
            assert_eq!(logs.messages(&id(name)).unwrap()[0].message, name);
        }
        assert!(matches!(logs.messages(&id("four")), Err(LogError::Read { .. })));
    }
}
