//! The log of one deployment: JSON lines in a file, sent to the server when the deployment fails.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rota_rest::device::LogMessage;

use super::{Level, Log};
use crate::{machine::DeploymentId, time::rfc3339};

/// How many logs are kept, the current one included.
const KEPT: usize = 5;

/// What the file system must have free before a log is written: an update matters more.
const MIN_FREE_BYTES: u64 = 100 << 10;

/// Mender's servers accept one MiB; JSON around the lines and escapes in them need the rest.
const MAX_UPLOAD_BYTES: u64 = 700_000;

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
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| LogError::Write { path: path.display().to_string(), source })?;
        log.attach(Box::new(file));
        Ok(())
    }

    /// Ends what [`open`](Self::open) began.
    pub fn close(&self, log: &Log) {
        log.detach();
    }

    /// The log of `id`, fit for the server: lines that are not JSON are marked, and of a long log
    /// the newest part is kept.
    pub fn messages(&self, id: &DeploymentId) -> Result<Vec<LogMessage>, LogError> {
        let path = self.path(0, id);
        let read = || -> io::Result<(Vec<u8>, bool)> {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            let skipped = length.saturating_sub(MAX_UPLOAD_BYTES);
            file.seek(SeekFrom::Start(skipped))?;
            let mut content = Vec::new();
            file.take(MAX_UPLOAD_BYTES).read_to_end(&mut content)?;
            Ok((content, skipped > 0))
        };
        let (content, cut) =
            read().map_err(|source| LogError::Read { path: path.display().to_string(), source })?;
        Ok(messages(&content, cut))
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
    let lines = text.lines().skip(usize::from(cut));
    let note = |message: &str, at: &LogMessage| LogMessage {
        timestamp: at.timestamp.clone(),
        level: Level::Error.as_str().to_owned(),
        message: message.to_owned(),
    };
    let mut last = LogMessage {
        timestamp: rfc3339(SystemTime::UNIX_EPOCH),
        level: String::new(),
        message: String::new(),
    };
    let mut messages = Vec::new();
    let mut any_corrupt = false;
    for line in lines.filter(|line| !line.is_empty()) {
        last = serde_json::from_str(line).unwrap_or_else(|_| {
            any_corrupt = true;
            note(CORRUPT, &last)
        });
        messages.push(last.clone());
    }
    let first = messages.first().unwrap_or(&last).clone();
    if any_corrupt {
        messages.insert(0, note(HAD_CORRUPT, &first));
    }
    if cut {
        messages.insert(0, note(TOO_BIG, &first));
    }
    messages
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
    fn corrupt_lines_are_marked() {
        let good = line("2026-11-21T00:00:00.000Z", Level::Info, "fine");
        let content = format!("{good}garbage\n{good}");
        let texts: Vec<_> =
            messages(content.as_bytes(), false).into_iter().map(|m| m.message).collect();
        assert_eq!(texts, [HAD_CORRUPT, "fine", CORRUPT, "fine"]);
    }

    #[test]
    fn of_a_long_log_the_newest_part_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let logs = DeploymentLogs::new(folder.path());
        let log = quiet();
        logs.open(&log, &id("long")).unwrap();
        for number in 0..12_000 {
            log.info(format!("line {number} of a log that is far too long to be sent as it is"));
        }
        let messages = logs.messages(&id("long")).unwrap();
        assert_eq!(messages[0].message, TOO_BIG);
        assert!(messages.last().unwrap().message.starts_with("line 11999 "));
        let body = serde_json::to_vec(&messages).unwrap();
        assert!(body.len() < 1_000_000, "{}", body.len());
    }
}
