//! Every command and flag.

use std::{path::PathBuf, str::FromStr};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use rota_artifact::Compression;

use super::payload_args::{
    DebArgs, DirectoryArgs, DockerArgs, DockerComposeArgs, ScriptArgs, SingleFileArgs,
};

const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 wrong arguments or unusable input; 2 format version not supported; \
3 output cannot be written or is too large, unknown command; 4 Artifact cannot be opened; \
5 Artifact or its signature invalid; 7 content cannot be written to disk.";

/// Makes, shows, checks and signs Artifacts.
#[derive(Debug, Parser)]
#[command(name = "rota-artifact", version, disable_version_flag = true, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print the version
    #[arg(short = 'v', long = "version", action = ArgAction::Version)]
    version: (),
    /// As the flag of `write`, which wins; scripts put it here too
    #[arg(long, hide = true)]
    pub(crate) compression: Option<CompressionChoice>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "parsed once")]
pub(crate) enum Command {
    /// Make an Artifact
    #[command(arg_required_else_help = true)]
    Write {
        #[command(subcommand)]
        command: WriteCommand,
    },
    /// Show what an Artifact says about itself, after checking all of it
    Read(ReadArgs),
    /// Check an Artifact: structure, names, checksums, signature
    Validate(ValidateArgs),
    /// Sign an Artifact that exists already
    Sign(SignArgs),
    /// Take an Artifact apart
    Dump(DumpArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum WriteCommand {
    /// An Artifact with a root filesystem image
    RootfsImage(RootfsImageArgs),
    /// An Artifact for an Update Module
    ModuleImage(ModuleImageArgs),
    /// A file to put in place on a device
    SingleFile(SingleFileArgs),
    /// A folder to put in the place of another
    Directory(DirectoryArgs),
    /// Programs to run once
    Script(ScriptArgs),
    /// Debian packages
    Deb(DebArgs),
    /// Containers to run in the place of those that run
    Docker(DockerArgs),
    /// A compose project with its images
    DockerCompose(DockerComposeArgs),
    /// An Artifact without payload, which sets a device's first provides
    BootstrapArtifact(WriteArgs),
}

/// Flags of every kind of Artifact.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Name of the Artifact
    #[arg(short = 'n', long, value_name = "NAME")]
    pub(crate) artifact_name: String,
    /// Device type that it can be installed on; may be repeated
    #[arg(short = 't', long, visible_short_alias = 'c', visible_alias = "compatible-types")]
    #[arg(value_name = "TYPE", required = true)]
    pub(crate) device_type: Vec<String>,
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "artifact.mender")]
    pub(crate) output_path: PathBuf,
    /// Format version; only 3 is supported
    #[arg(short = 'v', long = "version", value_name = "N", default_value_t = 3)]
    pub(crate) format_version: u64,
    /// Private key to sign with: PEM with RSA, ECDSA P-256, or Ed25519 (Rota's clients only)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Artifact that must be installed before; may be repeated, one is enough
    #[arg(short = 'N', long, value_name = "NAME")]
    pub(crate) artifact_name_depends: Vec<String>,
    /// Group that the Artifact puts the device in
    #[arg(short = 'g', long, value_name = "GROUP")]
    pub(crate) provides_group: Option<String>,
    /// Group that the installed Artifact must have; may be repeated, one is enough
    #[arg(short = 'G', long, value_name = "GROUP")]
    pub(crate) depends_groups: Vec<String>,
    /// Something the device must provide; may be repeated
    #[arg(short, long, value_name = "KEY:VALUE")]
    pub(crate) depends: Vec<Pair>,
    /// Something the device provides afterwards; may be repeated
    #[arg(short, long, value_name = "KEY:VALUE")]
    pub(crate) provides: Vec<Pair>,
    /// Provides that installation removes first, `*` for any characters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) clears_provides: Vec<String>,
    /// Compression: none, gzip (unless set), xz (or lzma), zstd, or zstd at a level of its own:
    /// `zstd_fastest`, `zstd_fast`, `zstd_better`, `zstd_best`
    #[arg(long, value_name = "NAME")]
    pub(crate) compression: Option<CompressionChoice>,
    /// The compressor's level: 1 to 9 for gzip, 0 to 9 for xz, 1 to 22 for zstd
    #[arg(long, value_name = "N")]
    pub(crate) compression_level: Option<u32>,
    /// Time stamp of everything in the Artifact, in seconds since 1970; files keep theirs without
    #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH")]
    pub(crate) modified: Option<u64>,
    /// Show no progress
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Fail if the Artifact becomes larger, for example 25MB
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_artifact_size: Option<Size>,
    /// Warn if the Artifact becomes larger
    #[arg(long, value_name = "SIZE")]
    pub(crate) warn_artifact_size: Option<Size>,
}

/// Flags of Artifacts that install software.
#[derive(Debug, Args)]
pub(crate) struct SoftwareArgs {
    /// State script, or a folder of them; may be repeated
    #[arg(short, long, value_name = "PATH")]
    pub(crate) script: Vec<PathBuf>,
    /// Name of the software in the provides
    #[arg(long, value_name = "NAME")]
    pub(crate) software_name: Option<String>,
    /// Version of the software in the provides; the Artifact's name without
    #[arg(long, value_name = "VERSION")]
    pub(crate) software_version: Option<String>,
    /// Where the software lives, in the provides; rootfs-image without
    #[arg(long, value_name = "NAME")]
    pub(crate) software_filesystem: Option<String>,
    /// Add no version to the provides, and clear nothing by default
    #[arg(long)]
    pub(crate) no_default_software_version: bool,
    /// Clear nothing by default
    #[arg(long)]
    pub(crate) no_default_clears_provides: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RootfsImageArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// The image
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Provide the image's checksum under its old name, `rootfs_image_checksum`
    #[arg(long, conflicts_with = "no_checksum_provide")]
    pub(crate) legacy_rootfs_image_checksum: bool,
    /// Do not provide the image's checksum
    #[arg(long)]
    pub(crate) no_checksum_provide: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModuleImageArgs {
    #[command(flatten)]
    pub(crate) common: WriteArgs,
    #[command(flatten)]
    pub(crate) software: SoftwareArgs,
    /// The Update Module that installs it
    #[arg(short = 'T', long = "type", value_name = "TYPE")]
    pub(crate) payload_type: String,
    /// Payload file; may be repeated or left out
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// JSON object for the Update Module
    #[arg(short, long, value_name = "FILE")]
    pub(crate) meta_data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// The Artifact
    pub(crate) artifact: PathBuf,
    /// Public key to check the signature with; may be repeated, one must fit
    #[arg(short, long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// How to show it
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: OutputForm,
    /// Show no progress
    #[arg(long)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The Artifact
    pub(crate) artifact: PathBuf,
    /// Public key to check the signature with; may be repeated, one must fit
    #[arg(short, long, value_name = "FILE")]
    pub(crate) key: Vec<PathBuf>,
    /// Show no progress
    #[arg(long)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The Artifact
    pub(crate) artifact: PathBuf,
    /// Private key: PEM with RSA, ECDSA P-256, or Ed25519 (Rota's clients only)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// File to write; without it the Artifact itself is replaced
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output_path: Option<PathBuf>,
    /// Replace a signature that is there already
    #[arg(short, long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The Artifact
    pub(crate) artifact: PathBuf,
    /// Write the payload files into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) files: Option<PathBuf>,
    /// Write the meta-data into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) meta_data: Option<PathBuf>,
    /// Write the state scripts into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) scripts: Option<PathBuf>,
    /// Print the arguments that make such an Artifact, quoted for a shell
    #[arg(long, conflicts_with = "print0_cmdline")]
    pub(crate) print_cmdline: bool,
    /// Print the arguments that make such an Artifact, separated by zero bytes
    #[arg(long)]
    pub(crate) print0_cmdline: bool,
}

/// `KEY:VALUE`, split at the first colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("expected KEY:VALUE".to_owned()),
        }
    }
}

/// A compression with the level that goes with its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CompressionChoice {
    pub(crate) compression: Compression,
    pub(crate) level: Option<u32>,
}

impl CompressionChoice {
    pub(crate) fn none() -> Self {
        Self { compression: Compression::None, level: None }
    }
}

impl FromStr for CompressionChoice {
    type Err = String;

    /// The zstd levels are those that mender-artifact's compressor stands for.
    fn from_str(name: &str) -> Result<Self, String> {
        let zstd = |level| Ok(Self { compression: Compression::Zstd, level: Some(level) });
        match name {
            "zstd_fastest" => zstd(1),
            "zstd_fast" => zstd(3),
            "zstd_better" => zstd(7),
            "zstd_best" => zstd(11),
            _ => match name.parse() {
                Ok(compression) => Ok(Self { compression, level: None }),
                Err(error) => Err(format!("{error}")),
            },
        }
    }
}

/// A number of bytes with an optional unit of B, KB, MB, GB or TB, base 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || "expected a size such as 25MB or 1.5GB".to_owned();
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let factor = match &*unit.to_ascii_uppercase() {
            "" | "B" => 1.0,
            "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            _ => return Err(refuse()),
        };
        let bytes = number * factor;
        if !(0.0..1e18).contains(&bytes) {
            return Err(refuse());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        Ok(Self(bytes as u64))
    }
}
