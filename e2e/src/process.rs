//! Child processes that never outlive the test: output kept in a file, killed on drop.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::wait;

/// How long a process may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How long a process that nobody wants any more may take before it is killed.
const DROP_LIMIT: Duration = Duration::from_secs(15);

/// How a process is started; kept, so that it can be started again after a kill.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
}

impl Program {
    /// A program that will write what it prints to `<folder>/<name>.log`.
    pub fn new(name: &str, path: PathBuf, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            path,
            arguments: Vec::new(),
            environment: Vec::new(),
            log: folder.join(format!("{name}.log")),
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, value: impl AsRef<OsStr>) -> Self {
        self.arguments.push(value.as_ref().to_string_lossy().into_owned());
        self
    }

    /// Adds a flag and its value.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.argument(name).argument(value)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it; its output is added to the log.
    pub fn start(&self) -> Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        Ok(Process { program: self.clone(), child })
    }

    /// Runs it to its end and gives what it printed on standard output; an exit code other than
    /// 0 is an error that quotes standard error.
    pub fn run(&self) -> Result<String> {
        let output = self.output()?;
        if !output.status.success() {
            bail!(
                "{} {} ended with {}: {}",
                self.name,
                self.arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it to its end, whatever that is.
    pub fn output(&self) -> Result<std::process::Output> {
        Command::new(&self.path)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.path.display()))
    }
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    program: Program,
    child: Child,
}

impl Process {
    /// Everything it has printed so far, over all its starts.
    pub fn printed(&self) -> Result<String> {
        std::fs::read_to_string(&self.program.log)
            .with_context(|| format!("cannot read {}", self.program.log.display()))
    }

    /// Waits until it has printed a line that `find` takes something from.
    pub async fn line<T>(
        &mut self,
        what: &str,
        limit: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let log = self.program.log.clone();
        let name = self.program.name.clone();
        let child = &mut self.child;
        wait::until(&format!("{name}: {what}"), limit, || {
            let found = std::fs::read_to_string(&log)
                .map(|text| text.lines().find_map(&find))
                .map_err(anyhow::Error::from);
            let ended = child.try_wait();
            let log = &log;
            async move {
                match (found?, ended?) {
                    (Some(value), _) => Ok(Some(value)),
                    (None, Some(status)) => {
                        let text = std::fs::read_to_string(log).unwrap_or_default();
                        bail!("ended with {status}: {}", tail(&text))
                    }
                    (None, None) => Ok(None),
                }
            }
        })
        .await
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.program.name))?;
        Ok(self.child.wait()?)
    }

    /// Asks it to end and waits until it has.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(rustix::process::Signal::TERM)?;
        let name = self.program.name.clone();
        let child = &mut self.child;
        wait::until(&format!("{name} to stop"), STOP_LIMIT, || {
            let ended = child.try_wait();
            async move { Ok(ended?) }
        })
        .await
    }

    /// Sends a signal; a process that has ended already is left alone.
    pub fn signal(&mut self, signal: rustix::process::Signal) -> Result<()> {
        if !self.runs()? {
            return Ok(());
        }
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal)
            .with_context(|| format!("cannot signal {}", self.program.name))
    }

    /// Starts the same program again, after [`Process::kill`].
    pub fn restart(&mut self) -> Result<()> {
        *self = self.program.start()?;
        Ok(())
    }
}

impl Drop for Process {
    /// Ends it in an orderly way if it lets itself be ended: a server has to stop what it stands
    /// on. Nothing can be done about a process that cannot even be killed.
    fn drop(&mut self) {
        let asked = self.signal(rustix::process::Signal::TERM);
        let end = Instant::now() + DROP_LIMIT;
        while asked.is_ok() && Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log, for messages.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
