//! Exit codes, and the one line on standard error that goes with them.

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// How the command ends when it does not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Wrong arguments, unusable keys, or input that cannot be written.
    Usage,
    /// A format version other than 3 is asked for.
    Version,
    /// The output cannot be made or is larger than allowed.
    Output,
    /// There is no such command.
    UnknownCommand,
    /// The Artifact cannot be opened.
    CannotOpen,
    /// The Artifact is invalid, or its signature is.
    Invalid,
    /// The Artifact's content cannot be written to disk.
    Dump,
}

impl From<Code> for ExitCode {
    /// The numbers are those of mender-artifact after 4.4, where no failure is 0.
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Usage => 1,
            Code::Version => 2,
            Code::Output | Code::UnknownCommand => 3,
            Code::CannotOpen => 4,
            Code::Invalid => 5,
            Code::Dump => 7,
        })
    }
}

/// An error and the exit code that it leads to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    error: anyhow::Error,
}

impl Failure {
    pub(crate) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    pub(crate) fn report(&self) -> ExitCode {
        // Nowhere is left to complain when standard error is closed.
        let _ = writeln!(io::stderr().lock(), "error: {:#}", self.error);
        self.code.into()
    }
}

/// Wrong arguments, unless said otherwise.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Usage, error)
    }
}
