//! Running commands, ours and other people's, in a folder of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// Debian's mender-artifact.
const MENDER_ARTIFACT: &str = "/usr/bin/mender-artifact";

/// A folder to work in, gone afterwards.
pub(crate) struct Bench(TempDir);

impl Bench {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs our command with blank-separated arguments.
    pub(crate) fn rota(&self, args: &str) -> Ran {
        self.run(Path::new(env!("CARGO_BIN_EXE_rota-artifact")), args)
    }

    /// Runs mender-artifact with blank-separated arguments.
    pub(crate) fn mender(&self, args: &str) -> Ran {
        let path = Path::new(MENDER_ARTIFACT);
        assert!(
            path.exists(),
            "{MENDER_ARTIFACT} is missing, install Debian's package mender-artifact \
             (`make setup` does)"
        );
        self.run(path, args)
    }

    fn run(&self, program: &Path, args: &str) -> Ran {
        let output = Command::new(program)
            .args(args.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("SOURCE_DATE_EPOCH")
            .output()
            .unwrap();
        Ran { what: format!("{} {args}", program.display()), output }
    }
}

/// A command that has ended.
pub(crate) struct Ran {
    what: String,
    output: Output,
}

impl Ran {
    /// Standard output of a command that succeeded.
    pub(crate) fn ok(&self) -> String {
        assert!(self.output.status.success(), "{} failed: {}", self.what, self.everything());
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Standard output as it is.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Everything printed by a command that failed with this code.
    pub(crate) fn fails(&self, code: i32) -> String {
        let found = self.output.status.code();
        assert_eq!(found, Some(code), "{}: {}", self.what, self.everything());
        self.everything()
    }

    /// Everything printed by a command that failed.
    pub(crate) fn refuses(&self) -> String {
        assert!(!self.output.status.success(), "{} succeeded", self.what);
        self.everything()
    }

    fn everything(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.output.stdout), self.stderr())
    }
}
