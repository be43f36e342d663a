//! Flags of Artifacts for the payload types that Rota's client installs by itself.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{SoftwareArgs, WriteArgs};

#[derive(Debug, Args)]
pub(crate) struct SingleFileArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// The file; its name and permissions are kept
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Folder on the device that it goes to
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dest_dir: String,
}

#[derive(Debug, Args)]
pub(crate) struct DirectoryArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// The folder whose content it is, with owners, permissions, times and links
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) file: PathBuf,
    /// Folder on the device that is replaced by it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dest_dir: String,
}

#[derive(Debug, Args)]
pub(crate) struct ScriptArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// A program to run; may be repeated, they run in the order of their names
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) file: Vec<PathBuf>,
    /// They undo what they did when called with `ArtifactRollback` (Rota's client only)
    #[arg(long)]
    pub(crate) rollback: bool,
    /// Restart the device afterwards (Rota's client only)
    #[arg(long, value_name = "WHEN")]
    pub(crate) reboot: Option<Reboot>,
}

#[derive(Debug, Args)]
pub(crate) struct DebArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// A Debian package; may be repeated
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(crate) file: Vec<PathBuf>,
    /// Restart the device afterwards (Rota's client only)
    #[arg(long, value_name = "WHEN")]
    pub(crate) reboot: Option<Reboot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reboot {
    Always,
    /// If there is a file /run/reboot-required
    IfRequired,
}

#[derive(Debug, Args)]
pub(crate) struct DockerArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// Image that the device pulls and runs, best with its digest; may be repeated
    #[arg(long, value_name = "IMAGE", required = true)]
    pub(crate) image: Vec<String>,
    /// Arguments of `docker run` for each of them, separated by blanks
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) run_args: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DockerComposeArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// Name of the compose project: letters, digits, `_` and `-`
    #[arg(long, value_name = "NAME")]
    pub(crate) project_name: String,
    /// Folder with the project's files
    #[arg(long, value_name = "FOLDER")]
    pub(crate) manifests_dir: PathBuf,
    /// Folder with an archive of each image, as `docker image save` and skopeo write them
    #[arg(long, value_name = "FOLDER")]
    pub(crate) images_dir: PathBuf,
}
