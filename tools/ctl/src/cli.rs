//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure;

/// Operate a Rota server: devices, Artifacts, deployments.
#[derive(Debug, Parser)]
#[command(name = "rotactl", version, after_help = failure::HELP)]
pub(crate) struct Arguments {
    /// How results are written: a table for people, JSON for programs.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The two ways to write results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// One JSON document; `watch` writes one line for each change.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sign in and remember it
    Login(Login),
    /// End the sign-in
    Logout,
    /// Show who is signed in, and where
    Whoami,
    /// Devices: list, show, accept, reject, decommission
    #[command(subcommand)]
    Device(Device),
    /// Artifacts: upload, list, show, download, delete
    #[command(subcommand)]
    Artifact(Artifact),
    /// Releases: list
    #[command(subcommand)]
    Release(Release),
    /// Deployments: create, list, show, watch, control, log, abort
    #[command(subcommand)]
    Deployment(Deployment),
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The server's address
    #[arg(long, env = "ROTA_SERVER", default_value = "https://localhost:8443")]
    pub(crate) server: String,
    /// A certificate (PEM) to trust besides the system's: the server's own, on a trial
    #[arg(long, env = "ROTA_CERTIFICATE")]
    pub(crate) certificate: Option<PathBuf>,
    /// The e-mail address to sign in with
    #[arg(long, env = "ROTA_EMAIL")]
    pub(crate) email: String,
    /// A file that holds the password; asked for otherwise
    #[arg(long, env = "ROTA_PASSWORD_FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Device {
    /// List devices
    List {
        /// Only devices of this status
        #[arg(long, value_enum)]
        status: Option<Status>,
    },
    /// Show one device
    Show {
        /// The device's id
        id: String,
    },
    /// Accept devices
    Accept(Chosen),
    /// Reject devices
    Reject(Chosen),
    /// Remove devices everywhere
    Decommission {
        /// The devices' ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Which devices.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Chosen {
    /// The devices' ids
    pub(crate) ids: Vec<String>,
    /// Every pending device
    #[arg(long)]
    pub(crate) all_pending: bool,
}

/// The status words of devices.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Pending,
    Accepted,
    Rejected,
    Preauthorized,
    Noauth,
}

impl Status {
    /// The word of the API.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Preauthorized => "preauthorized",
            Self::Noauth => "noauth",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Artifact {
    /// Upload an Artifact file
    Upload {
        /// The `.mender` file
        file: PathBuf,
        /// What it is, for people
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List Artifacts
    List,
    /// Show one Artifact
    Show {
        /// The Artifact's id
        id: String,
    },
    /// Download an Artifact file
    Download {
        /// The Artifact's id
        id: String,
        /// Where to write it
        #[arg(long, short = 'f')]
        file: PathBuf,
    },
    /// Delete an Artifact
    Delete {
        /// The Artifact's id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Release {
    /// List releases: Artifacts of one name
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deployment {
    /// Create a deployment
    Create(Create),
    /// List deployments, newest first
    List,
    /// Show one deployment with its devices
    Show {
        /// The deployment's id
        id: String,
    },
    /// Follow a deployment until it is finished
    Watch {
        /// The deployment's id
        id: String,
    },
    /// Change what holds the updates of a deployment that was created with a control map
    Control {
        /// The deployment's id
        id: String,
        #[command(flatten)]
        change: Change,
    },
    /// Print the log that a device sent
    Log {
        /// The deployment's id
        id: String,
        /// The device's id
        device: String,
    },
    /// Abort a deployment
    Abort {
        /// The deployment's id
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The release to install: the Artifact's name
    #[arg(long)]
    pub(crate) release: String,
    /// The deployment's name; the release's when left out
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Install even where this release is installed already
    #[arg(long)]
    pub(crate) force: bool,
    /// An update control map (JSON); `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) control_map: Option<PathBuf>,
    /// Pause on every device before this step; may be given several times
    #[arg(long, value_enum, value_name = "STEP", conflicts_with = "control_map")]
    pub(crate) pause_before: Vec<Step>,
    /// Follow it until it is finished
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Where a deployment goes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// A device's id; may be given several times
    #[arg(long = "device")]
    pub(crate) devices: Vec<String>,
    /// A group's name
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// Every accepted device
    #[arg(long)]
    pub(crate) all: bool,
}

/// What holds a deployment's updates from now on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Change {
    /// Another update control map (JSON); `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Nothing: devices that wait go on
    #[arg(long = "continue")]
    pub(crate) go_on: bool,
    /// A pause before this step alone; may be given several times
    #[arg(long, value_enum, value_name = "STEP")]
    pub(crate) pause_before: Vec<Step>,
}

/// The steps of an update before which it can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Downloaded, nothing changed yet
    Install,
    /// Installed, before the reboot that starts the new software
    Reboot,
    /// The new software runs, and could still be rolled back
    Commit,
}

impl Step {
    /// The state's name in a control map.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Install => "ArtifactInstall_Enter",
            Self::Reboot => "ArtifactReboot_Enter",
            Self::Commit => "ArtifactCommit_Enter",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_deployment_has_one_kind_of_target() {
        let typed = ["rotactl", "deployment", "create", "--release", "r"];
        assert!(Arguments::try_parse_from(typed).is_err());
        let both = [&typed[..], &["--all", "--group", "g"]].concat();
        assert!(Arguments::try_parse_from(both).is_err());
        let one = [&typed[..], &["--device", "a", "--device", "b"]].concat();
        assert!(Arguments::try_parse_from(one).is_ok());
    }

    #[test]
    fn a_map_is_written_in_one_way() {
        let create = ["rotactl", "deployment", "create", "--release", "r", "--all"];
        let steps = ["--pause-before", "install", "--pause-before", "commit"];
        assert!(Arguments::try_parse_from([&create[..], &steps].concat()).is_ok());
        let both = [&create[..], &steps, &["--control-map", "m.json"]].concat();
        assert!(Arguments::try_parse_from(both).is_err());

        let control = ["rotactl", "deployment", "control", "id"];
        assert!(Arguments::try_parse_from(control).is_err());
        for one in [&["--continue"][..], &["--file", "-"], &steps] {
            assert!(Arguments::try_parse_from([&control[..], one].concat()).is_ok(), "{one:?}");
        }
        let both = [&control[..], &["--continue", "--file", "-"]].concat();
        assert!(Arguments::try_parse_from(both).is_err());
    }
}
