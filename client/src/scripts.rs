//! State scripts: executables that run when an update enters or leaves a state, or fails in it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    log::{Log, chain},
    machine::{ScriptPoint, ScriptState},
    process::{self, Mark, Output, ProcessError},
    wake::{Stopped, Wake},
};

/// The exit code that asks to be run again later.
const RETRY_LATER: i32 = 21;

const VERSION_FILE: &str = "version";

/// A state script failed, or may not be run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    #[error("cannot list the state scripts in {folder}")]
    List { folder: PathBuf, source: io::Error },
    #[error("{path} holds {found:?}, but state scripts of versions 2 and 3 are supported")]
    Version { path: PathBuf, found: String },
    #[error("cannot read {path}")]
    ReadVersion { path: PathBuf, source: io::Error },
    #[error("a state script failed")]
    Run(#[source] ProcessError),
    #[error("{path} asked to be run later for more than {} s", limit.as_secs())]
    RetriesUsedUp { path: PathBuf, limit: Duration },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Runs state scripts.
pub trait Scripts {
    /// Runs all scripts of a state and point in order. The first that fails ends the row, except
    /// at [`ScriptPoint::Error`].
    fn run(&mut self, state: ScriptState, point: ScriptPoint) -> Result<(), ScriptError>;
    /// Whether the root file system's scripts are of a known version.
    fn check_version(&mut self) -> Result<(), ScriptError>;
}

/// How long scripts may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptTimes {
    /// One run.
    pub limit: Duration,
    /// Between runs of a script that asked for it.
    pub retry_interval: Duration,
    /// From the first such request of a script to its success.
    pub retry_limit: Duration,
}

/// The scripts on this device.
#[derive(Clone, Debug)]
pub struct StateScripts {
    /// Scripts of Idle, Sync and Download: part of the root file system.
    pub rootfs_folder: PathBuf,
    /// All others: they came with the Artifact.
    pub artifact_folder: PathBuf,
    pub times: ScriptTimes,
    /// On every script that is started.
    pub mark: Mark,
    pub wake: Wake,
    pub log: Log,
}

impl Scripts for StateScripts {
    fn run(&mut self, state: ScriptState, point: ScriptPoint) -> Result<(), ScriptError> {
        let folder =
            if state.is_artifact_script() { &self.artifact_folder } else { &self.rootfs_folder };
        let scripts = find(folder, state, point)
            .map_err(|source| ScriptError::List { folder: folder.clone(), source })?;
        if scripts.is_empty() {
            return Ok(());
        }
        check_version(folder)?;
        let mut first_error = None;
        for script in scripts {
            self.log.info(format_args!("running state script {}", script.display()));
            match self.run_one(&script) {
                Ok(()) => {}
                Err(error) if is_way_back(state, point) && !is_stop(&error) => {
                    self.log.error(chain(&error));
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match first_error.filter(|_| point != ScriptPoint::Error) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn check_version(&mut self) -> Result<(), ScriptError> {
        check_version(&self.rootfs_folder)
    }
}

impl StateScripts {
    fn run_one(&self, script: &Path) -> Result<(), ScriptError> {
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        let used_up = || ScriptError::RetriesUsedUp {
            path: script.to_owned(),
            limit: self.times.retry_limit,
        };
        let mut first_request: Option<Instant> = None;
        loop {
            let left = first_request
                .map_or(Duration::MAX, |at| self.times.retry_limit.saturating_sub(at.elapsed()));
            let outcome = process::run(
                self.mark.set(&mut Command::new(script)),
                Output::Log { prefix: &format!("State script {name}") },
                self.times.limit.min(left),
                &self.wake,
                &self.log,
            );
            match outcome {
                Ok(_) => return Ok(()),
                Err(ProcessError::Stopped(stopped)) => return Err(stopped.into()),
                Err(ProcessError::Failed { code: RETRY_LATER, .. }) => {}
                Err(ProcessError::TimedOut { .. }) if left < self.times.limit => {
                    return Err(used_up());
                }
                Err(error) => return Err(ScriptError::Run(error)),
            }
            let since = first_request.get_or_insert_with(Instant::now).elapsed();
            if since + self.times.retry_interval > self.times.retry_limit {
                return Err(used_up());
            }
            let seconds = self.times.retry_interval.as_secs();
            self.log.info(format_args!("{name} asks to be run again in {seconds} s"));
            self.wake.sleep(self.times.retry_interval)?;
        }
    }
}

/// Where nothing that fails holds the update up, so that all scripts have their turn.
fn is_way_back(state: ScriptState, point: ScriptPoint) -> bool {
    use ScriptState as S;

    let is_on_the_way_back = matches!(
        state,
        S::Idle | S::ArtifactRollback | S::ArtifactRollbackReboot | S::ArtifactFailure
    );
    is_on_the_way_back || point == ScriptPoint::Error
}

fn is_stop(error: &ScriptError) -> bool {
    matches!(error, ScriptError::Stopped(_))
}

fn check_version(folder: &Path) -> Result<(), ScriptError> {
    let path = folder.join(VERSION_FILE);
    match fs::read_to_string(&path) {
        Ok(found) if matches!(found.trim(), "2" | "3") => Ok(()),
        Ok(found) => Err(ScriptError::Version { path, found: found.trim().to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ScriptError::ReadVersion { path, source }),
    }
}

/// The executables of a state and point, sorted by name.
fn find(folder: &Path, state: ScriptState, point: ScriptPoint) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let prefix = format!("{}_{}_", state.as_str(), point.as_str());
    let mut scripts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let named = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_prefix(&prefix))
            .is_some_and(is_order);
        let executable = fs::metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0);
        if named && executable {
            scripts.push(path);
        }
    }
    scripts.sort();
    Ok(scripts)
}

/// `NN` or `NN_anything-without-spaces`.
fn is_order(rest: &str) -> bool {
    let (number, suffix) = rest.split_once('_').unwrap_or((rest, "x"));
    number.len() == 2
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !suffix.is_empty()
        && !suffix.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::log::Level;

    struct Device {
        folder: TempDir,
        scripts: StateScripts,
    }

    impl Device {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let scripts = StateScripts {
                rootfs_folder: folder.path().to_owned(),
                artifact_folder: folder.path().to_owned(),
                times: ScriptTimes {
                    limit: Duration::from_mins(1),
                    retry_interval: Duration::from_millis(1),
                    retry_limit: Duration::from_mins(1),
                },
                mark: Mark::new(folder.path()),
                wake: Wake::default(),
                log: Log::new(Level::Error, Box::new(io::sink())),
            };
            Self { folder, scripts }
        }

        fn add(&self, name: &str, body: &str) -> &Self {
            self.add_with_mode(name, body, 0o755)
        }

        fn add_with_mode(&self, name: &str, body: &str, mode: u32) -> &Self {
            let path = self.folder.path().join(name);
            let calls = self.calls();
            let script = format!("#!/bin/sh\nbasename \"$0\" >> {}\n{body}\n", calls.display());
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            self
        }

        fn calls(&self) -> PathBuf {
            self.folder.path().join("calls")
        }

        fn run(&mut self, point: ScriptPoint) -> (Result<(), ScriptError>, String) {
            let outcome = self.scripts.run(ScriptState::ArtifactInstall, point);
            let calls = fs::read_to_string(self.calls()).unwrap_or_default();
            (outcome, calls.replace("ArtifactInstall_", "").replace('\n', " "))
        }
    }

    #[test]
    fn scripts_run_in_the_order_of_their_names_and_others_do_not() {
        let mut device = Device::new();
        device
            .add("ArtifactInstall_Enter_10", "")
            .add("ArtifactInstall_Enter_02_named", "")
            .add("ArtifactInstall_Enter_01", "")
            .add("ArtifactInstall_Enter_100", "")
            .add("ArtifactInstall_Enter_1", "")
            .add("ArtifactInstall_Enter_03_", "")
            .add("ArtifactInstall_Leave_01", "")
            .add("ArtifactInstalled_Enter_01", "")
            .add_with_mode("ArtifactInstall_Enter_04", "", 0o644);
        let (outcome, calls) = device.run(ScriptPoint::Enter);
        outcome.unwrap();
        assert_eq!(calls, "Enter_01 Enter_02_named Enter_10 ");
    }

    #[test]
    fn a_failure_ends_the_row_except_for_error_scripts() {
        for (point, expected) in
            [(ScriptPoint::Enter, "Enter_01 "), (ScriptPoint::Error, "Error_01 Error_02 ")]
        {
            let mut device = Device::new();
            device.add(&format!("ArtifactInstall_{}_01", point.as_str()), "exit 1");
            device.add(&format!("ArtifactInstall_{}_02", point.as_str()), "");
            let (outcome, calls) = device.run(point);
            assert_eq!(calls, expected);
            assert_eq!(outcome.is_ok(), point == ScriptPoint::Error);
        }
    }

    #[test]
    fn retry_later_is_granted_until_the_limit() {
        let mut device = Device::new();
        device.add(
            "ArtifactInstall_Enter_01",
            r#"[ "$(wc -l < "$(dirname "$0")/calls")" -ge 3 ] || exit 21"#,
        );
        let (outcome, calls) = device.run(ScriptPoint::Enter);
        outcome.unwrap();
        assert_eq!(calls, "Enter_01 Enter_01 Enter_01 ");

        let mut device = Device::new();
        device.add("ArtifactInstall_Enter_01", "exit 21");
        device.scripts.times.retry_limit = Duration::from_millis(30);
        let (outcome, _) = device.run(ScriptPoint::Enter);
        assert!(matches!(outcome, Err(ScriptError::RetriesUsedUp { .. })), "{outcome:?}");
    }

    #[test]
    fn a_script_that_hangs_fails() {
        let mut device = Device::new();
        device.add("ArtifactInstall_Enter_01", "sleep 600");
        device.scripts.times.limit = Duration::from_millis(50);
        let (outcome, _) = device.run(ScriptPoint::Enter);
        let timed_out = Err(ScriptError::Run(ProcessError::TimedOut {
            program: String::new(),
            limit: Duration::ZERO,
        }));
        assert_eq!(
            std::mem::discriminant(&outcome),
            std::mem::discriminant(&timed_out),
            "{outcome:?}"
        );
    }

    #[test]
    fn an_unknown_version_fails_scripts_and_the_check_alike() {
        let mut device = Device::new();
        device.scripts.check_version().unwrap();
        for (content, good) in [("2", true), ("3\n", true), ("bogus", false), ("4", false)] {
            fs::write(device.folder.path().join(VERSION_FILE), content).unwrap();
            assert_eq!(device.scripts.check_version().is_ok(), good, "{content}");
            assert!(device.run(ScriptPoint::Enter).0.is_ok(), "no scripts, nothing to refuse");
        }
        device.add("ArtifactInstall_Enter_01", "");
        let (outcome, calls) = device.run(ScriptPoint::Enter);
        assert!(matches!(outcome, Err(ScriptError::Version { .. })));
        assert_eq!(calls, "");
    }
}
