//! Exit codes, and the one line on standard error that goes with them.

use std::{
    io::{self, Write},
    process::ExitCode,
};

/// How the command ends when it does not succeed. The numbers are those of mender-artifact after
/// 4.4, which are never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Wrong arguments, unusable keys, or input that cannot be written.
    Usage = 1,
    /// A format version other than 3 is asked for.
    Version = 2,
    /// The output cannot be made or is larger than allowed.
    Output = 3,
    /// The Artifact cannot be opened.
    CannotOpen = 4,
    /// The Artifact is invalid, or its signature is.
    Invalid = 5,
    /// The Artifact's content cannot be written to disk.
    Dump = 7,
}

impl Code {
    /// mender-artifact's number for a command that it does not know.
    #[expect(non_upper_case_globals, reason = "reads like the other codes")]
    pub(crate) const UnknownCommand: Self = Self::Output;
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
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
