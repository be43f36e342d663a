//! Artifacts for Debian's Update Module `single-file`: one file, its place and its mode.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rota_e2e::{artifact::DEVICE_TYPE, process::Program, programs};

/// The payload type, and the Update Module's name.
pub(crate) const PAYLOAD_TYPE: &str = "single-file";

/// The name of the file that is installed.
pub(crate) const FILE_NAME: &str = "motd";

/// The program that writes an Artifact. Both take the same flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    RotaArtifact,
    MenderArtifact,
}

impl Writer {
    /// The program, about to write an Artifact for an Update Module.
    fn program(self, folder: &Path) -> Result<Program> {
        let program = match self {
            Self::RotaArtifact => {
                Program::new("rota-artifact", programs::ours("rota-artifact")?, folder)
            }
            Self::MenderArtifact => Program::new(
                "mender-artifact",
                programs::theirs("mender-artifact", "mender-artifact")?,
                folder,
            ),
        };
        Ok(program.argument("write").argument("module-image"))
    }
}

/// An Artifact that puts the file [`FILE_NAME`] into a folder of a device.
#[derive(Debug)]
pub(crate) struct SingleFile {
    program: Program,
    output: PathBuf,
}

impl SingleFile {
    /// Lays out the payload below `folder`; `name` is the Artifact's, `mode` is octal.
    pub(crate) fn new(
        writer: Writer,
        folder: &Path,
        name: &str,
        destination: &Path,
        content: &str,
        mode: &str,
    ) -> Result<Self> {
        let output = folder.join(format!("{name}.mender"));
        let mut program = writer
            .program(folder)?
            .flag("--type", PAYLOAD_TYPE)
            .flag("--artifact-name", name)
            .flag("--device-type", DEVICE_TYPE)
            .flag("--output-path", &output);
        let payload = folder.join(format!("{name}.payload"));
        fs::create_dir_all(&payload).context("cannot make the payload's folder")?;
        let files = [
            ("dest_dir", format!("{}\n", destination.display())),
            ("filename", format!("{FILE_NAME}\n")),
            ("permissions", format!("{mode}\n")),
            (FILE_NAME, content.to_owned()),
        ];
        for (file, text) in files {
            let path = payload.join(file);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            program = program.flag("--file", &path);
        }
        Ok(Self { program, output })
    }

    /// Adds a flag of the writing program.
    #[must_use]
    pub(crate) fn flag(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.program = self.program.flag(name, value);
        self
    }

    /// Writes the Artifact; gives its path.
    pub(crate) fn write(self) -> Result<PathBuf> {
        self.program.run()?;
        Ok(self.output)
    }
}
