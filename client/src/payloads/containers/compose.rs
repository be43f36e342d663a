//! `docker-compose`: a compose project with its images, in the layout of Mender's module.
//!
//! The payload holds `images.tar.gz` (`images/*`, each for `docker image load`) and
//! `manifests.tar` (`manifests/`, the project's files); the meta-data says `version`, `"1"`, and
//! `project_name`. The former project is taken down before the new one is brought up. It counts
//! once its containers run and are healthy; if they do not, the former project comes back, with
//! its names of images pointing to what they did before.
//!
//! A project comes up from `current` only, where it stays: containers keep the absolute paths of
//! the project's files that they mount, and look for them there at each start.

use std::{collections::BTreeMap, fs::File};

use flate2::read::MultiGzDecoder;
use rota_artifact::Payload as PayloadFiles;
use serde::{Deserialize, Serialize};
use tar::{Archive, EntryType};

use super::{
    docker::fresh_id,
    engine::{Compose, Engine},
    settings::ComposeConfig,
    store::{Project, Store, is_same_image},
};
use crate::{
    log::chain,
    machine::Call,
    modules::Source,
    payloads::{
        Payload, PayloadError, Workplace,
        directory::{Owners, measure, unpack},
        disk,
        files::{self, refused, text_of},
        folders, notes,
    },
};

const IMAGES: &str = "images.tar.gz";
const MANIFESTS: &str = "manifests.tar";

/// All images by name; those without one are `<none>`.
const NAMED_IMAGES: &str = "{{.Repository}}:{{.Tag}} {{.ID}}";

const NOTE: &str = "docker-compose";
/// The update went one way or the other, and nobody needs the other project any more.
const DECIDED: &str = "decided";

pub(in crate::payloads) struct DockerCompose<'a> {
    workplace: Workplace<'a>,
    engine: Engine<'a>,
}

/// Written before anything is touched.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    update: String,
    /// What each name of an image meant.
    images: BTreeMap<String, String>,
}

impl<'a> DockerCompose<'a> {
    pub(in crate::payloads) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace, engine: Engine::new(workplace) }
    }

    fn config(&self) -> Result<(Store, ComposeConfig), PayloadError> {
        let config = ComposeConfig::read(self.workplace.containers)?;
        Ok((Store::new(config.store.clone()), config))
    }

    /// The project's name.
    fn plan(&self) -> Result<String, PayloadError> {
        let meta_data = files::meta_data(&self.workplace)?;
        match text_of(&meta_data, "version")? {
            Some("1") => {}
            other => {
                return Err(refused(format!(
                    "version in its meta-data must be \"1\", not {other:?}"
                )));
            }
        }
        let name = text_of(&meta_data, "project_name")?.unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.starts_with('-') || !name.chars().all(is_plain) {
            return Err(refused(format!(
                "project_name in its meta-data must be of letters, digits, _ and -, not {name:?}"
            )));
        }
        Ok(name.to_owned())
    }

    fn open(&self, name: &str) -> Result<File, PayloadError> {
        let path = self.workplace.file(name);
        if disk::kind(&path)?.is_none() {
            return Err(refused(format!("it has no file {name}; the generator writes one")));
        }
        File::open(&path).map_err(PayloadError::disk("open", &path))
    }

    fn install(&self) -> Result<(), PayloadError> {
        let name = self.plan()?;
        let (store, config) = self.config()?;
        let compose = self.engine.compose()?;
        let note = Note { update: fresh_id()?, images: self.named_images()? };
        notes::write(&self.workplace, NOTE, &note)?;

        let project = store.prepare()?;
        disk::check_space(project.folder(), measure(self.open(MANIFESTS)?)?)?;
        unpack(self.open(MANIFESTS)?, project.folder(), &Owners::of_device())?;
        if !project.manifests().is_dir() {
            return Err(refused(format!("{MANIFESTS} in it has no folder manifests")));
        }
        project.write("project_name", &name)?;
        project.write("update_id", &note.update)?;
        project.write("image_ids", &self.load_images()?.join("\n"))?;
        disk::sync_file_system(project.folder())?;

        if let Some(former) = store.current()? {
            self.take_down(compose, &former)?;
        }
        self.bring_up(compose, &store.activate(project)?, &config)
    }

    /// Loads the images one after the other and returns their ids.
    fn load_images(&self) -> Result<Vec<String>, PayloadError> {
        let damaged = |error: std::io::Error| refused(format!("{IMAGES} in it: {error}"));
        let unpacked = self.workplace.notes().join("image.tar");
        let mut archive = Archive::new(MultiGzDecoder::new(self.open(IMAGES)?));
        let mut loaded = Vec::new();
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            match entry.header().entry_type() {
                EntryType::Directory => continue,
                EntryType::Regular | EntryType::Continuous => {}
                other => {
                    return Err(refused(format!("{IMAGES} in it has an entry of kind {other:?}")));
                }
            }
            disk::check_space(&self.workplace.notes(), entry.size())?;
            disk::remove(&unpacked)?;
            disk::create(&unpacked, 0o600)?.copy_from(&mut entry)?;
            for line in self.engine.run_with_file(&["image", "load", "--input"], &unpacked)? {
                self.workplace.log.info(format_args!("docker: {line}"));
                let image = line.split_once(": ").map(|(_, image)| image.trim().to_owned());
                loaded.extend(image.filter(|_| line.starts_with("Loaded image")));
            }
        }
        disk::remove(&unpacked)?;
        if loaded.is_empty() {
            return Ok(loaded);
        }
        let mut question = vec!["image", "inspect", "--format", "{{.Id}}"];
        question.extend(loaded.iter().map(String::as_str));
        self.engine.ask(&question)
    }

    fn named_images(&self) -> Result<BTreeMap<String, String>, PayloadError> {
        let lines = self.engine.ask(&["image", "ls", "--no-trunc", "--format", NAMED_IMAGES])?;
        let pairs = lines.iter().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, id)| (name.to_owned(), id.trim().to_owned())).collect())
    }

    fn take_down(&self, compose: Compose, project: &Project) -> Result<(), PayloadError> {
        let (name, folder) = (project.name()?, project.manifests());
        self.workplace.run(self.engine.compose_command(compose, &name, &folder).arg("down"))
    }

    fn bring_up(
        &self,
        compose: Compose,
        project: &Project,
        config: &ComposeConfig,
    ) -> Result<(), PayloadError> {
        let (name, folder) = (project.name()?, project.manifests());
        let command = || self.engine.compose_command(compose, &name, &folder);
        let outcome = self.workplace.run(command().args(["up", "--detach"])).and_then(|()| {
            let printed =
                self.workplace.ask(command().args(["ps", "--all", "--quiet"]), 1 << 20)?;
            let containers = String::from_utf8_lossy(&printed);
            let containers: Vec<_> = containers.split_whitespace().map(str::to_owned).collect();
            self.engine.wait_until_up(&containers, config.wait_limit)
        });
        if outcome.as_ref().is_err_and(|error| !matches!(error, PayloadError::Stopped(_))) {
            // What the containers said belongs into the log of the deployment; best effort.
            let logs = self.workplace.run(command().args(["logs", "--tail", "100"]));
            if let Err(error) = logs {
                self.workplace.log.warning(format_args!("no logs: {}", chain(&error)));
            }
        }
        outcome
    }

    /// Works from every state that the steps before, or itself, may have stopped in.
    fn roll_back(&self) -> Result<(), PayloadError> {
        notes::unmark(&self.workplace, DECIDED)?;
        let Some(note) = notes::read::<Note>(&self.workplace, NOTE)? else { return Ok(()) };
        let (store, config) = self.config()?;
        let compose = self.engine.compose();
        if let Ok(compose) = compose {
            self.take_down_ours(compose, &store, &note)?;
        }
        // The disk is put right even if no engine answers.
        if is_ours(store.current()?.as_ref(), &note) {
            store.switch()?;
        }
        let compose = compose?;
        self.restore_names(&note)?;
        if let Some(former) = store.current()? {
            self.bring_up(compose, &former, &config)?;
        }
        let known: Vec<_> = note.images.values().cloned().collect();
        self.remove_images(store.other()?.as_ref(), &known)?;
        store.remove_other()?;
        notes::mark(&self.workplace, DECIDED)
    }

    /// Takes the project of this update down before it is moved, wherever it is by now: the engine
    /// would make empty folders for mounted files that it does not find any more.
    fn take_down_ours(
        &self,
        compose: Compose,
        store: &Store,
        note: &Note,
    ) -> Result<(), PayloadError> {
        let projects = [store.current()?, store.other()?];
        for project in projects.iter().flatten().filter(|project| project.is_of(&note.update)) {
            match self.take_down(compose, project) {
                Err(PayloadError::Stopped(stopped)) => return Err(stopped.into()),
                // It may never have been up.
                Err(error) => {
                    self.workplace.log.warning(format_args!("taking it down: {}", chain(&error)));
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Lets names of images point to what they did before the update.
    fn restore_names(&self, note: &Note) -> Result<(), PayloadError> {
        let now = self.named_images()?;
        for (name, id) in &note.images {
            if !name.contains("<none>") && now.get(name) != Some(id) {
                self.engine.try_on(&["tag"], &[id.clone(), name.clone()])?;
            }
        }
        Ok(())
    }

    /// Removes the images that a project came with, but those of `keep`.
    fn remove_images(
        &self,
        project: Option<&Project>,
        keep: &[String],
    ) -> Result<(), PayloadError> {
        for id in project.map(Project::images).unwrap_or_default() {
            if !keep.iter().any(|kept| is_same_image(kept, &id)) {
                // Somebody else may use it.
                self.engine.try_on(&["image", "rm"], &[id])?;
            }
        }
        Ok(())
    }

    fn clean_up(&self) -> Result<(), PayloadError> {
        if notes::read::<Note>(&self.workplace, NOTE)?.is_none() {
            return Ok(());
        }
        let (store, _) = self.config()?;
        if !notes::is_marked(&self.workplace, DECIDED) {
            self.workplace.log.warning("both the former project and that of this update are kept");
            return Ok(());
        }
        let keep = store.current()?.map(|project| project.images()).unwrap_or_default();
        self.remove_images(store.other()?.as_ref(), &keep)?;
        store.remove_other()
    }
}

impl Payload for DockerCompose<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        let stored = files::store(&self.workplace, payload)?;
        let known = |file: &str| matches!(file, IMAGES | MANIFESTS);
        if let Some(other) = stored.keys().find(|file| !known(file)) {
            return Err(refused(format!("it has a file {other:?} that nothing asks for")));
        }
        self.plan()?;
        self.open(IMAGES)?;
        let needed_bytes = measure(self.open(MANIFESTS)?)?;
        let (_, config) = self.config()?;
        disk::check_space(folders::existing(&config.store), needed_bytes)?;
        self.engine.check()?;
        self.engine.compose().map(|_| ())
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactCommit => notes::mark(&self.workplace, DECIDED),
            Call::ArtifactRollback => self.roll_back(),
            Call::Cleanup => self.clean_up(),
            _ => Ok(()),
        }
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        Ok(true)
    }
}

fn is_ours(project: Option<&Project>, note: &Note) -> bool {
    project.is_some_and(|project| project.is_of(&note.update))
}
