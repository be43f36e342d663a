//! The work tree of a payload, and the folder of its state scripts.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rota_artifact::{Header, Script};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::{machine::ArtifactInfo, mounts, records::Software};

const STREAM_NEXT: &str = "stream-next";
const STREAMS: &str = "streams";
const PAYLOAD_TYPE: &str = "header/payload_type";

/// A module's folder; its layout is part of the protocol.
#[derive(Clone, Debug)]
pub(super) struct WorkTree(PathBuf);

impl WorkTree {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Makes the tree anew, with what the Artifact and the device say, and waits until it is on the
    /// disk.
    pub(super) fn create(
        &self,
        header: &Header,
        device_type: &str,
        software: &Software,
    ) -> io::Result<()> {
        let info = ArtifactInfo::from(header);
        self.begin(&info, device_type, software)?;
        let payload = &header.payload;
        self.write("header/header-info", &header.header_info_json)?;
        self.write("header/type-info", &payload.type_info_json)?;
        if payload.meta_data.is_some() {
            self.write("header/meta-data", &payload.meta_data_json)?;
        }
        self.sync()
    }

    /// Makes the tree anew, with what is known without the Artifact's own files.
    fn begin(&self, info: &ArtifactInfo, device_type: &str, software: &Software) -> io::Result<()> {
        self.remove()?;
        make_folder(&self.0)?;
        for folder in ["header", "tmp", "files"] {
            fs::create_dir(self.0.join(folder))?;
        }
        let line = |text: &str| format!("{text}\n").into_bytes();
        let current_group = software.artifact_group.as_deref().map(line).unwrap_or_default();
        self.write("version", b"3\n")?;
        self.write("current_artifact_name", &line(&software.artifact_name))?;
        self.write("current_artifact_group", &current_group)?;
        self.write("current_device_type", &line(device_type))?;

        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        self.write("header/artifact_name", info.name.as_bytes())?;
        self.write("header/artifact_group", &text(&info.group))?;
        self.write(PAYLOAD_TYPE, &text(&info.payload_type))
    }

    /// Makes the FIFO and the folder through which the payload is streamed.
    pub(super) fn open_streams(&self) -> io::Result<()> {
        fs::create_dir_all(self.0.join(STREAMS))?;
        make_fifo(&self.stream_next())
    }

    pub(super) fn close_streams(&self) -> io::Result<()> {
        remove_file(&self.stream_next())?;
        remove_folder(&self.0.join(STREAMS))
    }

    pub(super) fn stream_next(&self) -> PathBuf {
        self.0.join(STREAM_NEXT)
    }

    /// Makes the FIFO of one payload file: its name for the module, and its path.
    pub(super) fn add_stream(&self, name: &str) -> io::Result<(String, PathBuf)> {
        let relative = format!("{STREAMS}/{name}");
        let path = self.0.join(&relative);
        make_fifo(&path)?;
        Ok((relative, path))
    }

    /// Creates a payload file for a module that does not read the stream.
    pub(super) fn create_file(&self, name: &str) -> io::Result<File> {
        File::options().create_new(true).write(true).mode(0o600).open(self.file(name))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("files").join(name)
    }

    /// Waits until all names are on the disk; files are synced as they are written.
    pub(super) fn sync(&self) -> io::Result<()> {
        for folder in ["header", "tmp", "files", ""] {
            File::open(self.0.join(folder))?.sync_all()?;
        }
        Ok(())
    }

    /// Removes the tree: all of it at once, so that no module finds half a tree after a power cut.
    /// What a module has mounted in it and left there is none of its content.
    pub(super) fn remove(&self) -> io::Result<()> {
        let removed = self.0.with_extension("removed");
        for folder in [&self.0, &removed] {
            refuse_mounts(folder)?;
        }
        remove_folder(&removed)?;
        absent_is_fine(fs::rename(&self.0, &removed))?;
        remove_folder(&removed)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::create(self.0.join(name))?;
        file.write_all(content)?;
        file.sync_data()
    }
}

/// Makes a work tree for an update that another program began without one: with what is known of
/// the Artifact, and no payload. A tree that is there for this type of payload is left alone.
pub fn lay_out_missing_tree(
    path: &Path,
    info: &ArtifactInfo,
    device_type: &str,
    software: &Software,
) -> io::Result<()> {
    let tree = WorkTree::new(path.to_owned());
    let found = fs::read_to_string(path.join(PAYLOAD_TYPE)).ok();
    if found.as_deref().map(str::trim_end) == info.payload_type.as_deref() {
        return Ok(());
    }
    tree.begin(info, device_type, software)?;
    tree.sync()
}

/// Replaces the artifact scripts of the last update by those of this one.
pub(super) fn write_scripts(folder: &Path, scripts: &[Script]) -> io::Result<()> {
    remove_folder(folder)?;
    make_folder(folder)?;
    let write = |name: &str, content: &[u8], mode| {
        let mut options = File::options();
        let mut file = options.create_new(true).write(true).mode(mode).open(folder.join(name))?;
        file.write_all(content)?;
        file.sync_all()
    };
    for script in scripts {
        write(&script.name, &script.content, 0o700)?;
    }
    write("version", b"3", 0o600)?;
    File::open(folder)?.sync_all()
}

/// Makes a folder and those around it, and waits until their names are on the disk: a rollback must
/// not miss after a power cut what was synced inside them.
fn make_folder(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    if !parent.is_dir() {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}

fn remove_file(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn remove_folder(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

/// Fails if a file system is mounted somewhere in a folder.
fn refuse_mounts(folder: &Path) -> io::Result<()> {
    let folder = match folder.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match mounts::first_in(&folder)? {
        None => Ok(()),
        Some(point) => Err(io::Error::other(format!(
            "a file system is mounted on {}; unmount it, or restart the device",
            point.display()
        ))),
    }
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
