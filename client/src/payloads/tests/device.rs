//! A device in a folder, and what is on it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rota_artifact::Builder;
use tempfile::TempDir;

use crate::{
    config::{Paths, Settings},
    log::{Level, Log, chain},
    machine::Call,
    modules::{InstallError, Installer, ModuleSettings, UpdateModules},
    process::Mark,
    records::Software,
    wake::Wake,
};

/// Installs Artifacts of one payload type, without any Update Module.
pub(super) struct Device {
    pub(super) folder: TempDir,
    payload_type: &'static str,
}

/// What is under a folder: each name with kind, mode, owner and content.
pub(super) type Contents = BTreeMap<String, String>;

impl Device {
    pub(super) fn new(payload_type: &'static str) -> Self {
        // Thousands of updates need not wait for a real disk; where there is no such folder they do.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let device = Self { folder, payload_type };
        device.write("data/device_type", "device_type=board\n");
        device
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, with the folders on the way.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// An Artifact for this device.
    pub(super) fn artifact(&self) -> Builder {
        Builder::module_image(self.payload_type, "new").device_type("board").threads(1)
    }

    /// A client that was just started.
    pub(super) fn modules(&self) -> UpdateModules {
        self.modules_within(Duration::from_mins(1))
    }

    /// One whose programs must end within a limit.
    fn modules_within(&self, limit: Duration) -> UpdateModules {
        let paths = Paths {
            config: self.path("config"),
            share: self.path("share"),
            data: self.path("data"),
        };
        let mark = Mark::new(&paths.data);
        let mut settings = ModuleSettings::new(&Settings::default(), &paths, mark);
        settings.limit = limit;
        settings.containers.docker = self.path("engine/docker");
        settings.containers.settle = Duration::ZERO;
        let log = Log::new(Level::Error, Box::new(io::sink()));
        UpdateModules::new(settings, Wake::default(), log)
    }

    pub(super) fn download(&self, artifact: &[u8]) -> Result<(), InstallError> {
        let software = Software { artifact_name: "old".into(), ..Software::default() };
        let mut modules = self.modules();
        modules.open(Box::new(Cursor::new(artifact.to_vec())), &software)?;
        modules.store()
    }

    pub(super) fn call(&self, call: Call) -> Result<(), InstallError> {
        self.modules().call(self.payload_type, call)
    }

    pub(super) fn call_within(&self, call: Call, limit: Duration) -> Result<(), InstallError> {
        self.modules_within(limit).call(self.payload_type, call)
    }

    pub(super) fn clean_up(&self) -> Result<(), InstallError> {
        self.modules().clean_up(Some(self.payload_type))
    }

    pub(super) fn supports_rollback(&self) -> bool {
        self.modules().supports_rollback(self.payload_type).unwrap()
    }

    /// Downloads and installs, up to the decision.
    pub(super) fn install(&self, artifact: &[u8]) -> Result<(), InstallError> {
        self.download(artifact)?;
        self.call(Call::ArtifactInstall)
    }

    /// Why a download is refused; the device must be as before.
    pub(super) fn refuses(&self, artifact: Builder) -> String {
        let error = self.download(&artifact.to_vec().unwrap()).expect_err("refused");
        self.clean_up().unwrap();
        chain(&error)
    }
}

/// Everything under a folder of the device.
pub(super) fn contents(folder: &Path) -> Contents {
    let mut found = Contents::new();
    if let Ok(metadata) = folder.symlink_metadata() {
        found.insert(String::new(), describe(folder, &metadata));
        collect(folder, "", &mut found);
    }
    found
}

fn collect(folder: &Path, prefix: &str, found: &mut Contents) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
        let metadata = entry.metadata().unwrap();
        found.insert(name.clone(), describe(&entry.path(), &metadata));
        if metadata.is_dir() {
            collect(&entry.path(), &name, found);
        }
    }
}

fn describe(path: &Path, metadata: &fs::Metadata) -> String {
    let (mode, uid, gid) = (metadata.mode(), metadata.uid(), metadata.gid());
    let content = if metadata.is_file() {
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    } else if metadata.is_symlink() {
        fs::read_link(path).unwrap().display().to_string()
    } else {
        String::new()
    };
    format!("{mode:o} {uid}:{gid} {content}")
}
