//! What the client says: readable lines on standard error, and during a deployment also a log that
//! the server gets when the deployment fails.

mod bounded;
mod deployment;

use std::{
    fmt::Display,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use crate::time::rfc3339;

pub use deployment::{DeploymentLogs, LogError};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    /// The word of configuration files, flags and deployment logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// Reads a word as Mender's configuration has it; `fatal` is `error` here.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warning" | "warn" => Self::Warning,
            "error" | "fatal" | "panic" => Self::Error,
            _ => return None,
        })
    }
}

/// A handle to the log; clones write to the same place.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    level: Level,
    sinks: Mutex<Sinks>,
}

struct Sinks {
    console: Box<dyn Write + Send>,
    deployment: Option<Box<dyn Write + Send>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("level", &self.0.level).finish_non_exhaustive()
    }
}

impl Log {
    /// Logs to `console` what is at least of `level`.
    pub fn new(level: Level, console: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Inner { level, sinks: Mutex::new(Sinks { console, deployment: None }) }))
    }

    pub fn debug(&self, message: impl Display) {
        self.write(Level::Debug, &message);
    }

    pub fn info(&self, message: impl Display) {
        self.write(Level::Info, &message);
    }

    pub fn warning(&self, message: impl Display) {
        self.write(Level::Warning, &message);
    }

    pub fn error(&self, message: impl Display) {
        self.write(Level::Error, &message);
    }

    /// From now on every line of at least level `info` also goes to the log of a deployment.
    fn attach(&self, deployment: Box<dyn Write + Send>) {
        self.sinks().deployment = Some(deployment);
    }

    fn detach(&self) {
        self.sinks().deployment = None;
    }

    fn write(&self, level: Level, message: &dyn Display) {
        let wanted = level >= self.0.level;
        if !wanted && level < Level::Info {
            return;
        }
        let time = rfc3339(SystemTime::now());
        let message = message.to_string();
        let mut sinks = self.sinks();
        if wanted {
            let line = format!("{time} {:<7} {message}\n", level.as_str());
            // A full or closed console must not stop an update.
            let _ = sinks.console.write_all(line.as_bytes());
        }
        if level >= Level::Info
            && let Some(deployment) = &mut sinks.deployment
        {
            let line = deployment::line(&time, level, &message);
            let _ = deployment.write_all(line.as_bytes());
        }
    }

    fn sinks(&self) -> MutexGuard<'_, Sinks> {
        self.0.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows an error with all its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
