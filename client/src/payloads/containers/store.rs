//! Where compose projects lie: the one that runs as `current`, another one as `new`. The layout is
//! that of Mender's module, so that either finds what the other has left.
//!
//! Which of the two belongs to an update is told by the update's name, in a file in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::payloads::{PayloadError, disk, folders};

pub(super) struct Store(PathBuf);

/// A compose project on the disk.
pub(super) struct Project(PathBuf);

impl Store {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Makes a place for another project beside the current one.
    pub(super) fn prepare(&self) -> Result<Project, PayloadError> {
        folders::make(&folders::missing(&self.0)?)?;
        // Mender's module was interrupted after it had put the current project aside.
        let (current, aside) = (self.0.join("current"), self.0.join("previous"));
        if disk::kind(&current)?.is_none() && disk::kind(&aside)?.is_some() {
            disk::rename(&aside, &current)?;
        }
        let other = self.other_path();
        disk::remove_tree(&other)?;
        disk::make_folder(&other)?;
        disk::sync_folder(&self.0)?;
        Ok(Project(other))
    }

    pub(super) fn current(&self) -> Result<Option<Project>, PayloadError> {
        self.at("current")
    }

    pub(super) fn other(&self) -> Result<Option<Project>, PayloadError> {
        self.at("new")
    }

    fn at(&self, name: &str) -> Result<Option<Project>, PayloadError> {
        let path = self.0.join(name);
        Ok(disk::kind(&path)?.map(|_| Project(path)))
    }

    fn other_path(&self) -> PathBuf {
        self.0.join("new")
    }

    /// Puts the project that was prepared where it is to run, and the former one aside.
    pub(super) fn activate(&self, prepared: Project) -> Result<Project, PayloadError> {
        drop(prepared);
        self.switch()?;
        Ok(Project(self.0.join("current")))
    }

    /// Lets the current project and the other one change places, or the only one; synced.
    pub(super) fn switch(&self) -> Result<(), PayloadError> {
        let (current, other) = (self.0.join("current"), self.other_path());
        match (disk::kind(&current)?.is_some(), disk::kind(&other)?.is_some()) {
            (true, true) => {
                if !disk::exchange(&other, &current)? {
                    return Err(PayloadError::Device(format!(
                        "the file system of {} cannot exchange folders",
                        self.0.display()
                    )));
                }
            }
            (false, true) => disk::rename(&other, &current)?,
            (true, false) => disk::rename(&current, &other)?,
            (false, false) => {}
        }
        disk::sync_folder(&self.0)
    }

    pub(super) fn remove_other(&self) -> Result<(), PayloadError> {
        if disk::kind(&self.0)?.is_none() {
            return Ok(());
        }
        disk::remove_tree(&self.other_path())?;
        disk::sync_folder(&self.0)
    }
}

impl Project {
    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Where compose finds its files.
    pub(super) fn manifests(&self) -> PathBuf {
        self.0.join("manifests")
    }

    /// What compose calls it.
    pub(super) fn name(&self) -> Result<String, PayloadError> {
        self.read("project_name")
    }

    /// Whether it came with this update.
    pub(super) fn is_of(&self, update: &str) -> bool {
        self.read("update_id").is_ok_and(|found| found == update)
    }

    /// The images that came with it. One that was never completed has none.
    pub(super) fn images(&self) -> Vec<String> {
        let ids = self.read("image_ids").unwrap_or_default();
        ids.lines().filter(|id| !id.is_empty()).map(str::to_owned).collect()
    }

    /// Writes one of its small files; not synced.
    pub(super) fn write(&self, name: &str, content: &str) -> Result<(), PayloadError> {
        disk::create(&self.0.join(name), 0o644)?.write(format!("{content}\n").as_bytes())
    }

    fn read(&self, name: &str) -> Result<String, PayloadError> {
        let path = self.0.join(name);
        let text = fs::read_to_string(&path).map_err(PayloadError::disk("read", &path))?;
        Ok(text.trim_end().to_owned())
    }
}

/// Whether two ids of images are the same; either may be the short form.
pub(super) fn is_same_image(one: &str, other: &str) -> bool {
    let (one, other) = (one.trim_start_matches("sha256:"), other.trim_start_matches("sha256:"));
    let length = one.len().min(other.len());
    length >= 12 && one.get(..length) == other.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_be_shortened() {
        let long = "sha256:0123456789abcdef0123456789abcdef";
        assert!(is_same_image(long, "0123456789ab"));
        assert!(is_same_image("0123456789ab", long));
        assert!(!is_same_image(long, "0123456789ac"));
        assert!(!is_same_image(long, "0123"));
        assert!(!is_same_image(long, ""));
    }
}
