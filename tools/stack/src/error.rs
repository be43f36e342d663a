//! Why a back-end did not start.

use std::{io, path::PathBuf, time::Duration};

/// Why a back-end did not start. Each says what to do about it, where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program is not on this machine.
    #[error("{program} is not installed; on Debian: apt-get install {package}")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// The data is of a version of Postgres that is not installed.
    #[error(
        "{dir} was made by Postgres {version}, whose programs are not installed; on Debian: apt-get install postgresql-{version}"
    )]
    MissingVersion {
        /// The data directory.
        dir: PathBuf,
        /// Its major version.
        version: String,
    },
    /// Started as root, and there is no account that Postgres could run as.
    #[error(
        "Postgres refuses to run as root, and neither user postgres nor nobody exists: create one, or start as an ordinary user"
    )]
    NoAccount,
    /// The account that Postgres runs as cannot reach its data.
    #[error(
        "user {user} cannot enter {dir}: choose a data directory whose parents everyone may enter (chmod o+x)"
    )]
    Unreachable {
        /// The account.
        user: String,
        /// The directory that it cannot enter.
        dir: PathBuf,
    },
    /// Another process uses the directory.
    #[error("{path} is in use by another process")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to somebody else.
    #[error("{path} belongs to another user: remove it or choose another directory")]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory could not be made, read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ended when it should have gone on, or with an error.
    #[error("{program} failed: {output}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// The last of what it said.
        output: String,
    },
    /// A server did not become ready.
    #[error("{program} was not ready after {} s; its log is {log}", .waited.as_secs())]
    NotReady {
        /// The server.
        program: PathBuf,
        /// How long it had.
        waited: Duration,
        /// Where to look.
        log: PathBuf,
    },
    /// No socket for the server.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The S3 server refused its settings.
    #[error("cannot set up the S3 server: {0}")]
    S3(String),
    /// A certificate could not be made.
    #[error("cannot make a certificate for {name}")]
    Certificate {
        /// For whom.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
}

impl StackError {
    /// For `map_err` on file operations.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
