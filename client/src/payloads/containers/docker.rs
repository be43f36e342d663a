//! `docker`: containers that take the place of those that run, as Mender's community module does.
//!
//! The meta-data names the images (`containers`) and the arguments to run them with (`run_args`,
//! split at blanks); the device pulls them while it downloads. The former containers are stopped
//! and stay, so that rolling back starts them again. Containers of compose projects are none of
//! this type's business.

use std::fs;

use rota_artifact::Payload as PayloadFiles;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use crate::{
    machine::Call,
    modules::Source,
    payloads::{
        Payload, PayloadError, Workplace,
        files::{self, refused, text_of},
        notes,
    },
};

/// What marks the containers of one update.
const LABEL: &str = "io.rota.update";

/// Containers of compose projects carry this.
const RUNNING: &str = "{{.ID}} {{.Label \"com.docker.compose.project\"}}";

const WAIT_LIMIT: std::time::Duration = std::time::Duration::from_mins(2);

const NOTE: &str = "docker";
const COMMITTED: &str = "committed";

pub(in crate::payloads) struct Docker<'a> {
    workplace: Workplace<'a>,
    engine: Engine<'a>,
}

/// Written before anything is stopped.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The containers of this update carry it in their label.
    update: String,
    former: Vec<String>,
    /// A former container goes away when it is stopped, so nobody can start it again.
    is_one_way: bool,
}

struct Plan {
    images: Vec<String>,
    run_args: Vec<String>,
}

impl<'a> Docker<'a> {
    pub(in crate::payloads) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace, engine: Engine::new(workplace) }
    }

    fn plan(&self) -> Result<Plan, PayloadError> {
        let meta_data = files::meta_data(&self.workplace)?;
        let images = meta_data.get("containers").and_then(|list| list.as_array());
        let images = images.map(|list| list.iter().map(|image| image.as_str()).collect());
        let images: Option<Vec<_>> = images.unwrap_or_default();
        let images = images.filter(|images| !images.is_empty()).ok_or_else(|| {
            refused("containers in its meta-data must be a list of at least one image")
        })?;
        if let Some(image) = images.iter().find(|image| !is_image(image)) {
            return Err(refused(format!("{image:?} in its meta-data is no name of an image")));
        }
        let run_args = text_of(&meta_data, "run_args")?.unwrap_or_default();
        Ok(Plan {
            images: images.into_iter().map(str::to_owned).collect(),
            run_args: run_args.split_whitespace().map(str::to_owned).collect(),
        })
    }

    fn install(&self) -> Result<(), PayloadError> {
        let Plan { images, run_args } = self.plan()?;
        let running = self.engine.ask(&["ps", "--no-trunc", "--format", RUNNING])?;
        let is_single = |line: &&String| line.split_whitespace().count() == 1;
        let former: Vec<_> =
            running.iter().filter(is_single).map(|line| line.trim().to_owned()).collect();
        let note = Note { update: fresh_id()?, is_one_way: self.is_one_way(&former)?, former };
        if note.is_one_way {
            self.workplace.log.warning("a container that runs goes away when it is stopped (--rm)");
        }
        notes::write(&self.workplace, NOTE, &note)?;
        self.engine.run_on(&["stop"], &note.former)?;
        let label = format!("{LABEL}={}", note.update);
        for image in &images {
            let mut arguments = vec!["run", "--detach", "--tty", "--label", &label];
            arguments.extend(run_args.iter().map(String::as_str));
            arguments.push(image);
            self.engine.run(&arguments)?;
        }
        self.engine.wait_until_up(&self.ours(&note)?, WAIT_LIMIT)
    }

    fn is_one_way(&self, containers: &[String]) -> Result<bool, PayloadError> {
        if containers.is_empty() {
            return Ok(false);
        }
        let mut question = vec!["inspect", "--format", "{{.HostConfig.AutoRemove}}"];
        question.extend(containers.iter().map(String::as_str));
        Ok(self.engine.ask(&question)?.iter().any(|answer| answer == "true"))
    }

    /// All containers of this update, whether they run or not.
    fn ours(&self, note: &Note) -> Result<Vec<String>, PayloadError> {
        let filter = format!("label={LABEL}={}", note.update);
        self.engine.ask(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
    }

    fn roll_back(&self) -> Result<(), PayloadError> {
        notes::unmark(&self.workplace, COMMITTED)?;
        let Some(note) = notes::read::<Note>(&self.workplace, NOTE)? else { return Ok(()) };
        self.engine.run_on(&["rm", "--force"], &self.ours(&note)?)?;
        self.engine.run_on(&["start"], &note.former)
    }

    /// Containers that restart always would come back, beside the new ones, with the engine.
    fn clean_up(&self) -> Result<(), PayloadError> {
        match notes::read::<Note>(&self.workplace, NOTE)? {
            Some(note) if notes::is_marked(&self.workplace, COMMITTED) && !note.is_one_way => {
                self.engine.try_on(&["update", "--restart", "no"], &note.former)
            }
            _ => Ok(()),
        }
    }
}

impl Payload for Docker<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        if let Some(file) = payload.next_file()? {
            let name = file.name();
            return Err(refused(format!("it has a file {name:?}; images are named in meta-data")));
        }
        let plan = self.plan()?;
        self.engine.check()?;
        plan.images.iter().try_for_each(|image| self.engine.run(&["pull", image]))
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactRollback => self.roll_back(),
            Call::ArtifactCommit => notes::mark(&self.workplace, COMMITTED),
            Call::Cleanup => self.clean_up(),
            _ => Ok(()),
        }
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        let note = notes::read::<Note>(&self.workplace, NOTE)?;
        Ok(!note.is_some_and(|note| note.is_one_way))
    }
}

/// No option, no two words.
fn is_image(text: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain)
}

/// A name that nobody else has.
pub(super) fn fresh_id() -> Result<String, PayloadError> {
    const SOURCE: &str = "/proc/sys/kernel/random/uuid";
    let text = fs::read_to_string(SOURCE).map_err(PayloadError::disk("read", SOURCE.as_ref()))?;
    Ok(text.trim().to_owned())
}
