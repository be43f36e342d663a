//! Where somebody sits who operates a platform with `rotactl`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rota_e2e::{process::Program, programs};
use serde_json::Value;

use super::Stage;

/// `rotactl` with a session of its own.
pub(super) struct Desk<'a> {
    folder: &'a Path,
}

impl<'a> Desk<'a> {
    /// A desk at which nobody is signed in yet.
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder }
    }

    /// Signs in as the platform's administrator.
    pub(super) fn sign_in(&self, stage: &Stage<'_>) -> Result<()> {
        let (email, password) = stage.platform.administrator();
        let file = self.folder.join("password");
        std::fs::write(&file, password)?;
        let gateway = stage.platform.gateways().first().context("no gateway")?;
        let certificate = stage.platform.certificate().to_string_lossy();
        let login = ["login", "--server", gateway, "--certificate", &certificate, "--email", email];
        let file = file.to_string_lossy();
        self.run(&[&login[..], &["--password-file", &file]].concat())?;
        ensure!(self.json(&["whoami"])?["email"] == email, "somebody else is signed in");
        Ok(())
    }

    /// What a command printed that ended well.
    pub(super) fn run(&self, words: &[&str]) -> Result<String> {
        self.rotactl(words)?.run()
    }

    /// The JSON that a command printed that ended well.
    pub(super) fn json(&self, words: &[&str]) -> Result<Value> {
        let printed = self.rotactl(words)?.flag("--output", "json").run()?;
        let last = printed.lines().last().context("nothing was printed")?;
        Ok(serde_json::from_str(last)?)
    }

    /// The exit code of a command that does not end well.
    pub(super) fn exit_code(&self, words: &[&str]) -> Result<Option<i32>> {
        Ok(self.rotactl(words)?.output()?.status.code())
    }

    fn rotactl(&self, words: &[&str]) -> Result<Program> {
        let program = Program::new("rotactl", programs::ours("rotactl")?, self.folder);
        let session = self.folder.join("session.json");
        let program = program.environment("ROTA_SESSION", &session.to_string_lossy());
        Ok(words.iter().fold(program, Program::argument))
    }
}
