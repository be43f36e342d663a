//! Programs that a client has left behind.
//!
//! A power cut ends modules and scripts together with the client. When only the client was killed
//! they run on, and would get in the way of what comes next: the same step once more, or the
//! rollback. So each carries a mark in its environment, and what carries the mark of an interrupted
//! step is ended before the update is taken up. What other steps have started carries other marks,
//! and is left alone: a service that the installation has started is the new software.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::log::Log;

const VARIABLE: &str = "ROTA_CLIENT_UPDATE";

/// A program that forks while it is looked for is found the next time.
const ROUNDS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// Tells the programs of one step of an update on one device from all others. Clones change
/// together.
#[derive(Clone, Debug)]
pub struct Mark {
    data_folder: PathBuf,
    /// Where all processes of the system are listed.
    processes: PathBuf,
    step: Arc<Mutex<Option<String>>>,
}

impl Mark {
    /// No program is marked before [`enter`](Self::enter).
    pub fn new(data_folder: impl Into<PathBuf>) -> Self {
        let processes = PathBuf::from("/proc");
        Self { data_folder: data_folder.into(), processes, step: Arc::default() }
    }

    /// For devices that are only imagined, and run no programs.
    #[cfg(test)]
    pub(crate) fn without_programs() -> Self {
        Self { processes: PathBuf::new(), ..Self::new("") }
    }

    /// From now on programs belong to this step of this update: a deployment, or a command by hand.
    pub fn enter(&self, update: &str, step: &str) {
        *self.step() = Some(format!("{update}:{step}"));
    }

    /// From now on programs belong to no update.
    pub fn leave(&self) {
        *self.step() = None;
    }

    /// Marks a program that is about to start, and all that it will start.
    pub fn set<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self.value() {
            Some(value) => command.env(VARIABLE, value),
            None => command.env_remove(VARIABLE),
        }
    }

    fn value(&self) -> Option<OsString> {
        let step = self.step();
        let mut value = self.data_folder.clone().into_os_string();
        value.push(":");
        value.push(step.as_ref()?);
        Some(value)
    }

    fn step(&self) -> MutexGuard<'_, Option<String>> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every program of the current step, as a power cut would have.
    pub fn end_all(&self, log: &Log) {
        for _ in 0..ROUNDS {
            let left_behind = self.find();
            if left_behind.is_empty() {
                return;
            }
            for pid in left_behind {
                log.warning(format_args!(
                    "ending process {pid:?}, left behind by an earlier client"
                ));
                // Fails only when it has ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
            thread::sleep(PAUSE);
        }
        log.error("programs left behind by an earlier client cannot be ended");
    }

    fn find(&self) -> Vec<Pid> {
        let Some(value) = self.value() else { return Vec::new() };
        let mut entry = OsString::from(VARIABLE);
        entry.push("=");
        entry.push(value);
        let Ok(processes) = fs::read_dir(&self.processes) else { return Vec::new() };
        let pids = processes.flatten().filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let is_other = pid != process::id();
            (is_other && has_variable(&process.path(), entry.as_bytes())).then_some(pid)
        });
        pids.filter_map(|pid| i32::try_from(pid).ok().and_then(Pid::from_raw)).collect()
    }
}

/// A process that has ended, or that is somebody else's, shows no environment.
fn has_variable(process: &Path, entry: &[u8]) -> bool {
    fs::read(process.join("environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|e| e == entry))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::log::Level;

    #[test]
    fn programs_with_the_mark_end_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let mark = |update: &str, step: &str| {
            let mark = Mark::new(folder.path());
            mark.enter(update, step);
            mark
        };
        let start = |mark: &Mark| {
            let mut command = Command::new("sh");
            // The shell starts another program, elsewhere.
            mark.set(command.args(["-c", "cd / && sleep 600; true"])).spawn().unwrap()
        };
        let interrupted = mark("d1", "commit");
        let others = [mark("d1", "install"), mark("d0", "commit")];
        let mut left_behind = start(&interrupted);
        let mut services = others.each_ref().map(start);
        // A program carries its mark only once it runs.
        while interrupted.find().len() < 2 || others.iter().any(|mark| mark.find().len() < 2) {
            thread::yield_now();
        }
        let log = Log::new(Level::Error, Box::new(io::sink()));
        interrupted.end_all(&log);
        assert!(interrupted.find().is_empty());
        assert!(!left_behind.wait().unwrap().success());

        for (service, mark) in services.iter_mut().zip(&others) {
            assert!(service.try_wait().unwrap().is_none());
            mark.clone().end_all(&log);
            service.wait().unwrap();
        }
        interrupted.leave();
        assert_eq!(interrupted.value(), None, "without an update nothing is ours");
    }
}
