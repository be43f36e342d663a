//! Programs that the client starts: with a time limit, in a process group of their own, their
//! output logged or kept.

mod group;
mod mark;
mod output;

pub use mark::Mark;

use std::{
    io::{self, ErrorKind, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    log::Log,
    wake::{Stopped, Wake},
};
use output::{Collected, LineLog, collect};

/// Between asking a program to end and ending it; as long as Mender's client waits.
const GRACE: Duration = Duration::from_secs(10);

/// Pauses between looks at a running program.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// A program could not be run, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot launch {program}")]
    Launch { program: String, source: io::Error },
    #[error("{program} ran longer than {} s and was ended", limit.as_secs())]
    TimedOut { program: String, limit: Duration },
    #[error("{program} was ended by signal {signal}")]
    Signalled { program: String, signal: i32 },
    #[error("{program} failed with exit code {code}")]
    Failed { program: String, code: i32 },
    #[error("{program} printed more than {limit_bytes} bytes")]
    TooMuchOutput { program: String, limit_bytes: usize },
    #[error("lost sight of {program}")]
    Wait { program: String, source: io::Error },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// What to do with a program's standard output. Its standard error is always logged.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// Log each line behind this text.
    Log { prefix: &'a str },
    /// Keep it, up to so many bytes.
    Keep { limit_bytes: usize },
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    program: String,
    child: Child,
    started: Instant,
    limit: Duration,
    wake: Wake,
    stdout: Collected,
    stderr: Collected,
    keep_bytes: Option<usize>,
}

/// Runs a program to its end and returns its kept output.
pub fn run(
    command: &mut Command,
    output: Output<'_>,
    limit: Duration,
    wake: &Wake,
    log: &Log,
) -> Result<Vec<u8>, ProcessError> {
    Running::start(command, output, limit, wake, log)?.finish()
}

/// As [`run`], with something to read on standard input: at most 4 KiB, which every pipe holds
/// before anybody reads it.
pub fn run_with_input(
    input: &[u8],
    command: &mut Command,
    output: Output<'_>,
    limit: Duration,
    (wake, log): (&Wake, &Log),
) -> Result<Vec<u8>, ProcessError> {
    let failed = |source| {
        let program = command.get_program().to_string_lossy().into_owned();
        ProcessError::Launch { program, source }
    };
    let (stdin, mut writer) = io::pipe().map_err(failed)?;
    writer.write_all(input).map_err(failed)?;
    // The program sees the end of its input.
    drop(writer);
    Running::start_reading(stdin.into(), command, output, limit, wake, log)?.finish()
}

impl Running {
    /// Starts a program. It is ended when `limit` is over or the client stops.
    pub fn start(
        command: &mut Command,
        output: Output<'_>,
        limit: Duration,
        wake: &Wake,
        log: &Log,
    ) -> Result<Self, ProcessError> {
        Self::start_reading(Stdio::null(), command, output, limit, wake, log)
    }

    fn start_reading(
        input: Stdio,
        command: &mut Command,
        output: Output<'_>,
        limit: Duration,
        wake: &Wake,
        log: &Log,
    ) -> Result<Self, ProcessError> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = launch(command)
            .map_err(|source| ProcessError::Launch { program: program.clone(), source })?;
        let (prefix, keep_bytes) = match output {
            Output::Log { prefix } => (prefix, None),
            Output::Keep { limit_bytes } => (program.as_str(), Some(limit_bytes)),
        };
        let line_log = |stream: &str| LineLog::new(log, format!("{prefix} ({stream}): "));
        let stdout = child.stdout.take();
        let stdout = match keep_bytes {
            // One byte more than allowed shows that there was more.
            Some(limit_bytes) => collect(stdout, limit_bytes + 1, None),
            None => collect(stdout, 0, Some(line_log("stdout"))),
        };
        let stderr = collect(child.stderr.take(), 0, Some(line_log("stderr")));
        Ok(Self {
            program,
            child,
            started: Instant::now(),
            limit,
            wake: wake.clone(),
            stdout,
            stderr,
            keep_bytes,
        })
    }

    /// Lets the program run longer: it waited for something that it cannot hasten.
    pub fn extend(&mut self, by: Duration) {
        self.limit = self.limit.saturating_add(by);
    }

    /// Looks whether the program has ended, and ends it when it must.
    pub fn look(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        if let Some(status) = self.try_wait()? {
            return Ok(Some(status));
        }
        if let Err(stopped) = self.wake.check() {
            self.end();
            return Err(stopped.into());
        }
        if self.started.elapsed() >= self.limit {
            self.end();
            return Err(ProcessError::TimedOut {
                program: self.program.clone(),
                limit: self.limit,
            });
        }
        Ok(None)
    }

    /// Waits for the program to end.
    pub fn wait(&mut self) -> Result<ExitStatus, ProcessError> {
        let mut pause = SHORTEST_LOOK;
        loop {
            if let Some(status) = self.look()? {
                return Ok(status);
            }
            // A request to stop ends the pause; the next look sees it.
            let _ = self.wake.sleep(pause);
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Waits for the program to end well, and returns its kept output.
    pub fn finish(mut self) -> Result<Vec<u8>, ProcessError> {
        let status = self.wait()?;
        // Both pipes are read to their end, so that the log is complete when this returns.
        let output = self.stdout.take();
        self.stderr.take();
        self.check(status)?;
        match self.keep_bytes {
            Some(limit_bytes) if output.len() > limit_bytes => {
                Err(ProcessError::TooMuchOutput { program: self.program.clone(), limit_bytes })
            }
            _ => Ok(output),
        }
    }

    /// Whether the program ended well.
    pub fn check(&self, status: ExitStatus) -> Result<(), ProcessError> {
        let program = self.program.clone();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(ProcessError::Failed { program, code }),
            (None, signal) => {
                Err(ProcessError::Signalled { program, signal: signal.unwrap_or_default() })
            }
        }
    }

    /// Ends the program and all of its process group: politely, then for certain. What it has
    /// started may outlive it, and must not work on against what comes next.
    pub fn end(&mut self) {
        self.end_within(GRACE);
    }

    /// Waits so long after each request.
    fn end_within(&mut self, grace: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            // Fails only when the group is gone already.
            let _ = kill_process_group(self.group(), signal);
            let asked = Instant::now();
            let mut pause = SHORTEST_LOOK;
            while asked.elapsed() < grace {
                if self.is_gone() {
                    return;
                }
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_LOOK);
            }
        }
        // The kernel itself waits, for a disk or a network file system: nothing can end that.
    }

    fn is_gone(&mut self) -> bool {
        !matches!(self.try_wait(), Ok(None)) && !group::runs(self.group())
    }

    /// The group bears the program's number.
    fn group(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn try_wait(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        self.child
            .try_wait()
            .map_err(|source| ProcessError::Wait { program: self.program.clone(), source })
    }
}

/// While another thread is between fork and exec, it may hold a script open that was just written;
/// the kernel then refuses to run it.
fn launch(command: &mut Command) -> io::Result<Child> {
    const TRIES: u32 = 50;
    for _ in 1..TRIES {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn keep(script: &str, limit: Duration, wake: &Wake) -> Result<Vec<u8>, ProcessError> {
        let log = Log::new(Level::Error, Box::new(io::sink()));
        run(&mut sh(script), Output::Keep { limit_bytes: 100 }, limit, wake, &log)
    }

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn output_is_kept_and_codes_are_errors() {
        let wake = Wake::default();
        assert_eq!(keep("echo hello", MINUTE, &wake).unwrap(), b"hello\n");
        let failed = keep("exit 7", MINUTE, &wake);
        assert!(matches!(failed, Err(ProcessError::Failed { code: 7, .. })), "{failed:?}");
        let killed = keep("kill -9 $$", MINUTE, &wake);
        assert!(matches!(killed, Err(ProcessError::Signalled { signal: 9, .. })), "{killed:?}");
        let chatty = keep("seq 1000", MINUTE, &wake);
        assert!(matches!(chatty, Err(ProcessError::TooMuchOutput { .. })), "{chatty:?}");
    }

    #[test]
    fn a_program_over_its_limit_ends_with_all_its_children() {
        let started = Instant::now();
        let late = keep("sleep 600 & sleep 600", Duration::from_millis(50), &Wake::default());
        assert!(matches!(late, Err(ProcessError::TimedOut { .. })), "{late:?}");
        assert!(started.elapsed() < GRACE, "the children kept the pipes open");
    }

    /// The shell ends when it is asked to; what it has started does not.
    #[test]
    fn what_outlives_a_program_that_is_ended_is_ended_for_certain() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let script = format!("(trap '' TERM; touch {}; sleep 600) & sleep 600", ready.display());
        let log = Log::new(Level::Error, Box::new(io::sink()));
        let output = Output::Log { prefix: "" };
        let mut running =
            Running::start(&mut sh(&script), output, MINUTE, &Wake::default(), &log).unwrap();
        while !ready.exists() {
            assert!(running.look().unwrap().is_none());
            thread::yield_now();
        }
        running.end_within(Duration::from_secs(2));
        assert!(!group::runs(running.group()));
    }

    #[test]
    fn a_request_to_stop_ends_the_program() {
        let wake = Wake::default();
        let stopper = wake.clone();
        let stopping = thread::spawn(move || stopper.stop());
        let stopped = keep("sleep 600", MINUTE, &wake);
        assert!(matches!(stopped, Err(ProcessError::Stopped(Stopped))), "{stopped:?}");
        stopping.join().unwrap();
    }

    #[test]
    fn a_process_left_behind_does_not_hold_the_client_up() {
        let started = Instant::now();
        let output = keep("sleep 60 & echo done $!", MINUTE, &Wake::default()).unwrap();
        assert!(started.elapsed() < Duration::from_secs(30));
        let output = String::from_utf8(output).unwrap();
        let left_behind = output.trim().strip_prefix("done ").expect("kept despite the open pipe");
        keep(&format!("kill {left_behind}"), MINUTE, &Wake::default()).unwrap();
    }
}
