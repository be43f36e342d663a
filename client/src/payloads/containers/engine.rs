//! The container engine, through its command line.

use std::{
    ffi::OsStr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    log::chain,
    payloads::{PayloadError, Workplace},
};

/// Lists of containers and images; longer ones are an error.
const MAX_LIST_BYTES: usize = 4 << 20;

/// For questions, which an engine answers at once or not at all.
const QUESTION_LIMIT: Duration = Duration::from_mins(2);

/// Between looks at containers that come up.
const LOOK: Duration = Duration::from_secs(1);

/// What `docker inspect` shows of each container: what it does, how it ended, how it feels.
const STATE: &str = "{{.State.Status}} {{.State.ExitCode}} \
                     {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}";

#[derive(Clone, Copy)]
pub(super) struct Engine<'a> {
    workplace: Workplace<'a>,
}

/// How compose is called on this device.
#[derive(Clone, Copy)]
pub(super) enum Compose {
    Plugin,
    Program,
}

/// How containers are coming up.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Up,
    NotYet,
    Failed,
}

impl<'a> Engine<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    /// Makes sure that an engine is at work.
    pub(super) fn check(&self) -> Result<(), PayloadError> {
        self.ask(&["version", "--format", "{{.Server.Version}}"]).map(|_| ()).map_err(|error| {
            PayloadError::Device(format!("no container engine answers: {}", chain(&error)))
        })
    }

    /// Finds out how compose is called here.
    pub(super) fn compose(&self) -> Result<Compose, PayloadError> {
        if self.ask(&["compose", "version"]).is_ok() {
            return Ok(Compose::Plugin);
        }
        let mut program = self.compose_program();
        match self.workplace.ask(program.arg("version"), MAX_LIST_BYTES) {
            Ok(_) => Ok(Compose::Program),
            Err(PayloadError::Stopped(stopped)) => Err(stopped.into()),
            Err(error) => Err(PayloadError::Device(format!(
                "neither docker compose nor docker-compose is there: {}",
                chain(&error)
            ))),
        }
    }

    /// Runs docker to its end; what it prints goes to the log.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<(), PayloadError> {
        self.workplace.run(self.docker().args(arguments))
    }

    /// Runs docker with a file as its last argument and returns what it prints.
    pub(super) fn run_with_file(
        &self,
        arguments: &[&str],
        file: &Path,
    ) -> Result<Vec<String>, PayloadError> {
        let mut command = self.docker();
        lines(&self.workplace.ask(command.args(arguments).arg(file), MAX_LIST_BYTES)?)
    }

    /// The lines that docker prints.
    pub(super) fn ask<S: AsRef<OsStr>>(
        &self,
        arguments: &[S],
    ) -> Result<Vec<String>, PayloadError> {
        let limit = self.workplace.limit.min(QUESTION_LIMIT);
        let workplace = Workplace { limit, ..self.workplace };
        lines(&workplace.ask(self.docker().args(arguments), MAX_LIST_BYTES)?)
    }

    /// Runs a command on all of these; on none, nothing.
    pub(super) fn run_on(&self, command: &[&str], what: &[String]) -> Result<(), PayloadError> {
        if what.is_empty() {
            return Ok(());
        }
        self.workplace.run(self.docker().args(command).args(what))
    }

    /// As [`run_on`](Self::run_on), where nothing depends on it.
    pub(super) fn try_on(&self, command: &[&str], what: &[String]) -> Result<(), PayloadError> {
        match self.run_on(command, what) {
            Err(PayloadError::Stopped(stopped)) => Err(stopped.into()),
            Err(error) => {
                let (command, error) = (command.join(" "), chain(&error));
                self.workplace.log.warning(format_args!("docker {command}: {error}"));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Compose, for a project whose files are in `folder`.
    pub(super) fn compose_command(&self, how: Compose, project: &str, folder: &Path) -> Command {
        let mut command = match how {
            Compose::Plugin => self.docker(),
            Compose::Program => self.compose_program(),
        };
        if let Compose::Plugin = how {
            command.arg("compose");
        }
        command.args(["--project-name", project]).current_dir(folder);
        command
    }

    /// Waits until all these containers run and are healthy, as far as they tell, or have done
    /// their work and ended well; and for a moment stay so.
    pub(super) fn wait_until_up(
        &self,
        containers: &[String],
        limit: Duration,
    ) -> Result<(), PayloadError> {
        let mut question = vec!["inspect".to_owned(), "--format".to_owned(), STATE.to_owned()];
        question.extend_from_slice(containers);
        if containers.is_empty() {
            return Err(PayloadError::Device("no container was started".to_owned()));
        }
        let started = Instant::now();
        let mut was_up = false;
        loop {
            let states = self.ask(&question)?;
            let found: Vec<_> = states.iter().map(|line| state(line)).collect();
            let are_up = found.iter().all(|state| *state == State::Up);
            if are_up && was_up {
                return Ok(());
            }
            let waited = started.elapsed();
            if !are_up && (waited >= limit || found.contains(&State::Failed)) {
                return Err(PayloadError::Device(format!(
                    "not all containers are up after {} s: {}",
                    waited.as_secs(),
                    states.join(", ")
                )));
            }
            was_up = are_up;
            self.workplace.wake.sleep(if are_up {
                self.workplace.containers.settle
            } else {
                LOOK
            })?;
        }
    }

    fn docker(&self) -> Command {
        Command::new(&self.workplace.containers.docker)
    }

    fn compose_program(&self) -> Command {
        Command::new(self.workplace.containers.docker.with_file_name("docker-compose"))
    }
}

fn state(line: &str) -> State {
    let mut words = line.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some("running"), _, Some("none" | "healthy")) | (Some("exited"), Some("0"), _) => {
            State::Up
        }
        (Some("exited" | "dead"), ..) => State::Failed,
        _ => State::NotYet,
    }
}

fn lines(printed: &[u8]) -> Result<Vec<String>, PayloadError> {
    let text = str::from_utf8(printed)
        .map_err(|_| PayloadError::Device("docker prints what is no text".to_owned()))?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_run_or_have_done_their_work() {
        for (line, expected) in [
            ("running 0 none", State::Up),
            ("running 0 healthy", State::Up),
            ("exited 0 none", State::Up),
            ("running 0 starting", State::NotYet),
            ("running 0 unhealthy", State::NotYet),
            ("restarting 1 none", State::NotYet),
            ("created 0 none", State::NotYet),
            ("", State::NotYet),
            ("exited 1 none", State::Failed),
            ("dead 0 none", State::Failed),
        ] {
            assert_eq!(state(line), expected, "{line:?}");
        }
    }
}
