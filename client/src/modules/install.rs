//! Artifacts on this device: opened, checked, and given to their Update Modules.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rota_artifact::{Header, Limits, Reader, VerifyKeys};

use super::{
    InstallError, Installer, Source,
    handler::Handler,
    tree::{WorkTree, write_scripts},
};
use crate::{
    config::{Paths, Settings, read_device_type},
    downgrade,
    log::{Log, chain},
    machine::{ArtifactInfo, Call, RebootNeed},
    payloads::{ContainerSettings, RootfsSettings},
    process::Mark,
    records::{Software, check_depends},
    wake::Wake,
};

/// What installing depends on.
#[derive(Clone, Debug)]
pub struct ModuleSettings {
    /// The folder with one executable for each payload type.
    pub modules: PathBuf,
    pub work_tree: PathBuf,
    /// Where the state scripts of an Artifact go.
    pub artifact_scripts: PathBuf,
    pub device_type_file: PathBuf,
    /// One of them must have signed every Artifact, if there is a list, be it empty.
    pub verify_keys: Option<Vec<PathBuf>>,
    /// Keys of provides whose versions must not fall.
    pub downgrade_protection: Vec<String>,
    /// On every program that is started.
    pub mark: Mark,
    /// For each call.
    pub limit: Duration,
    /// The partitions of root file systems.
    pub rootfs: RootfsSettings,
    pub containers: ContainerSettings,
}

impl ModuleSettings {
    pub fn new(settings: &Settings, paths: &Paths, mark: Mark) -> Self {
        Self {
            modules: paths.modules(),
            work_tree: paths.work_tree(),
            artifact_scripts: paths.artifact_scripts(),
            device_type_file: paths.device_type(settings),
            verify_keys: settings.artifact_verify_keys.clone(),
            downgrade_protection: settings.downgrade_protection.clone(),
            mark,
            limit: settings.module_timeout,
            rootfs: settings.rootfs.clone(),
            containers: ContainerSettings::new(paths),
        }
    }
}

/// Installs through the executables on this device.
#[derive(Debug)]
pub struct UpdateModules {
    settings: ModuleSettings,
    tree: WorkTree,
    wake: Wake,
    log: Log,
    open: Option<Open>,
}

/// An Artifact whose payload has not been read yet.
struct Open {
    reader: Reader<Source>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Open({})", self.reader.header().artifact_name)
    }
}

impl UpdateModules {
    pub fn new(settings: ModuleSettings, wake: Wake, log: Log) -> Self {
        let tree = WorkTree::new(settings.work_tree.clone());
        Self { settings, tree, wake, log, open: None }
    }

    #[cfg(test)]
    pub(crate) fn settings(&self) -> &ModuleSettings {
        &self.settings
    }

    fn handler(&self, payload_type: &str) -> Result<Handler<'_>, InstallError> {
        Handler::find(payload_type, &self.settings, (&self.wake, &self.log))
    }

    /// The keys are read for each Artifact, so that an update may change them. One that cannot be
    /// used makes the others no worse; but if none can, nothing is installed.
    fn verify_keys(&self) -> Result<Option<VerifyKeys>, InstallError> {
        let Some(paths) = &self.settings.verify_keys else { return Ok(None) };
        let mut keys = VerifyKeys::new();
        for path in paths {
            if let Err(error) = add_key(&mut keys, path) {
                self.log.warning(chain(&error));
            }
        }
        if keys.is_empty() { Err(InstallError::NoVerifyKey) } else { Ok(Some(keys)) }
    }
}

fn add_key(keys: &mut VerifyKeys, path: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::VerifyKey { path: path.display().to_string(), source };
    let pem = fs::read(path).map_err(|error| failed(error.into()))?;
    keys.add_pem(&pem).map_err(|error| failed(error.into()))
}

impl Installer for UpdateModules {
    fn open(&mut self, source: Source, software: &Software) -> Result<ArtifactInfo, InstallError> {
        self.open = None;
        let device_type = read_device_type(&self.settings.device_type_file)?;
        let limits = Limits::default();
        let reader = match self.verify_keys()? {
            Some(keys) => Reader::open_verified(source, &limits, &keys)?,
            None => Reader::open(source, &limits)?,
        };
        let header = reader.header();
        check_depends(&header.all_depends(), &device_type, software)?;
        let info = ArtifactInfo::from(header);
        downgrade::check(&self.settings.downgrade_protection, &info, software)?;
        if let Some(payload_type) = &info.payload_type {
            self.handler(payload_type)?;
        }
        let scripts = &self.settings.artifact_scripts;
        write_scripts(scripts, &header.scripts)
            .map_err(|source| InstallError::Tree { path: scripts.display().to_string(), source })?;
        self.log.info(format_args!("Artifact {:?} fits this device", info.name));
        if info.payload_type.is_none() {
            reader.finish()?;
        } else {
            let tree = &self.tree;
            tree.create(reader.header(), &device_type, software).map_err(|source| {
                InstallError::Tree { path: tree.path().display().to_string(), source }
            })?;
            self.open = Some(Open { reader });
        }
        Ok(info)
    }

    fn store(&mut self) -> Result<(), InstallError> {
        let Open { mut reader } = self.open.take().ok_or(InstallError::NothingOpen)?;
        let tree_error =
            |source| InstallError::Tree { path: self.tree.path().display().to_string(), source };
        let payload_type = reader.header().payload.payload_type.name().map(str::to_owned);
        let mut handler = self.handler(&payload_type.ok_or(InstallError::NothingOpen)?)?;
        handler.download(&mut reader, &self.tree)?;
        reader.finish()?;
        self.tree.sync().map_err(tree_error)
    }

    fn call(&mut self, payload_type: &str, call: Call) -> Result<(), InstallError> {
        self.handler(payload_type)?.call(call)
    }

    fn needs_reboot(&mut self, payload_type: &str) -> Result<RebootNeed, InstallError> {
        self.handler(payload_type)?.needs_reboot()
    }

    fn supports_rollback(&mut self, payload_type: &str) -> Result<bool, InstallError> {
        self.handler(payload_type)?.supports_rollback()
    }

    fn clean_up(&mut self, payload_type: Option<&str>) -> Result<(), InstallError> {
        self.open = None;
        if !self.tree.exists() {
            return Ok(());
        }
        let called = match payload_type {
            Some(payload_type) => self.call(payload_type, Call::Cleanup),
            None => Ok(()),
        };
        if let Err(InstallError::Stopped(stopped)) = called {
            return Err(stopped.into());
        }
        let removed = self.tree.remove().map_err(|source| InstallError::Tree {
            path: self.tree.path().display().to_string(),
            source,
        });
        called.and(removed)
    }

    fn discard(&mut self) {
        self.open = None;
        if let Err(error) = self.tree.remove() {
            self.log.warning(format_args!("cannot remove {}: {error}", self.tree.path().display()));
        }
    }
}

impl From<&Header> for ArtifactInfo {
    fn from(header: &Header) -> Self {
        Self {
            name: header.artifact_name.clone(),
            group: header.artifact_group.clone(),
            provides: header.payload.provides.clone(),
            clears_provides: header.payload.clears_provides.clone(),
            payload_type: header.payload.payload_type.name().map(str::to_owned),
        }
    }
}
