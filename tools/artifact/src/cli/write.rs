//! `rota-artifact write`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ArgMatches;
use rota_artifact::{Builder, SigningKey, SoftwareVersion, WriteError};

use super::{
    args::{
        CompressionChoice, ModuleImageArgs, Pair, RootfsImageArgs, Size, SoftwareArgs, WriteArgs,
        WriteCommand,
    },
    failure::{Code, Failure},
    output::Output,
    payload, progress, warn,
};

/// Which `--provides` stand before the last `--software-…` flag: those give way to it.
pub(crate) struct Order {
    provides_before_software: usize,
}

impl Order {
    pub(crate) fn of(matches: &ArgMatches) -> Self {
        let mut innermost = matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let indices = |id: &str| -> Vec<usize> {
            let known = innermost.try_contains_id(id).unwrap_or(false);
            if known {
                innermost.indices_of(id).into_iter().flatten().collect()
            } else {
                Vec::new()
            }
        };
        let last_software = ["software_name", "software_version", "software_filesystem"]
            .into_iter()
            .flat_map(indices)
            .max();
        let before = indices("provides").iter().filter(|at| Some(**at) < last_software).count();
        Self { provides_before_software: before }
    }
}

/// Makes an Artifact; `fallback` is the compression unless the command names one.
pub(crate) fn run(
    command: WriteCommand,
    fallback: CompressionChoice,
    order: &Order,
) -> Result<(), Failure> {
    // What is packed first stays until the Artifact is written.
    let scratch = tempfile::tempdir().context("cannot create a folder for temporary files")?;
    let (builder, common) = match command {
        WriteCommand::RootfsImage(args) => rootfs_image(args, order)?,
        WriteCommand::ModuleImage(args) => module_image(args, order)?,
        WriteCommand::SingleFile(args) => payload::single_file(args, order)?,
        WriteCommand::Directory(args) => payload::directory(args, order, &scratch)?,
        WriteCommand::Script(args) => payload::script(args, order)?,
        WriteCommand::Deb(args) => payload::deb(args, order)?,
        WriteCommand::Docker(args) => payload::docker(args, order)?,
        WriteCommand::DockerCompose(args) => payload::docker_compose(args, order, &scratch)?,
        WriteCommand::BootstrapArtifact(args) => bootstrap(args)?,
    };
    write(builder, &common, fallback)
}

fn rootfs_image(args: RootfsImageArgs, order: &Order) -> anyhow::Result<(Builder, WriteArgs)> {
    let RootfsImageArgs { common, software, file, .. } = args;
    no_blanks(&common.artifact_name)?;
    if file.to_string_lossy().starts_with("ssh://") {
        bail!("snapshots over ssh are not supported");
    }
    let mut builder = Builder::rootfs_image(&common.artifact_name).file(file);
    if args.no_checksum_provide {
        builder = builder.without_checksum_provide();
    }
    if args.legacy_rootfs_image_checksum {
        builder = builder.legacy_checksum_provide();
    }
    let builder = with_software(builder, &common.provides, software, order)?;
    Ok((builder, common))
}

fn module_image(args: ModuleImageArgs, order: &Order) -> anyhow::Result<(Builder, WriteArgs)> {
    let ModuleImageArgs { common, software, payload_type, file, meta_data } = args;
    let mut builder = Builder::module_image(payload_type, &common.artifact_name);
    for path in file {
        builder = builder.file(path);
    }
    if let Some(path) = meta_data {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let meta_data = serde_json::from_slice(&text)
            .with_context(|| format!("{} does not hold a JSON object", path.display()))?;
        builder = builder.meta_data(meta_data);
    }
    let builder = with_software(builder, &common.provides, software, order)?;
    Ok((builder, common))
}

fn bootstrap(common: WriteArgs) -> anyhow::Result<(Builder, WriteArgs)> {
    no_blanks(&common.artifact_name)?;
    let builder = Builder::bootstrap(&common.artifact_name);
    Ok((with_provides(builder, &common.provides), common))
}

fn no_blanks(name: &str) -> anyhow::Result<()> {
    if name.contains(char::is_whitespace) {
        bail!("white space is not allowed in the artifact name {name:?}");
    }
    Ok(())
}

fn with_provides(builder: Builder, provides: &[Pair]) -> Builder {
    provides.iter().fold(builder, |builder, Pair { key, value }| builder.provides(key, value))
}

pub(super) fn with_software(
    mut builder: Builder,
    provides: &[Pair],
    args: SoftwareArgs,
    order: &Order,
) -> anyhow::Result<Builder> {
    let (before, after) = provides.split_at(order.provides_before_software.min(provides.len()));
    builder = with_provides(builder, before).software(SoftwareVersion {
        filesystem: args.software_filesystem,
        name: args.software_name,
        version: args.software_version,
    });
    builder = with_provides(builder, after);
    if args.no_default_software_version {
        builder = builder.without_default_software_version();
    }
    if args.no_default_clears_provides {
        builder = builder.without_default_clears_provides();
    }
    for path in script_files(args.script)? {
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        builder = builder.script(name, content);
    }
    Ok(builder)
}

/// Folders stand for the files in them.
fn script_files(paths: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let context = || format!("cannot read {}", path.display());
            for entry in fs::read_dir(&path).with_context(context)? {
                files.push(entry.with_context(context)?.path());
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn write(
    mut builder: Builder,
    args: &WriteArgs,
    fallback: CompressionChoice,
) -> Result<(), Failure> {
    if args.format_version != 3 {
        let error = anyhow::anyhow!("format version {} is not supported", args.format_version);
        return Err(Failure::new(Code::Version, error));
    }
    for device_type in &args.device_type {
        builder = builder.device_type(device_type);
    }
    for name in &args.artifact_name_depends {
        builder = builder.depends_on_artifact(name);
    }
    for group in &args.depends_groups {
        builder = builder.depends_on_group(group);
    }
    for Pair { key, value } in &args.depends {
        builder = builder.depends(key, value);
    }
    for pattern in &args.clears_provides {
        builder = builder.clears_provides(pattern);
    }
    if let Some(group) = &args.provides_group {
        builder = builder.provides_group(group);
    }
    if let Some(seconds) = args.modified {
        builder = builder.modified_unix(seconds);
    }
    let choice = args.compression.unwrap_or(fallback);
    if let Some(level) = args.compression_level.or(choice.level) {
        builder = builder.compression_level(level);
    }
    if let Some(path) = &args.key {
        builder = builder.sign_with(signing_key(path)?);
    }
    let bar = progress::bar(builder.payload_bytes().map_err(failure)?, args.no_progress);
    let moving = bar.clone();
    builder = builder.compression(choice.compression).on_progress(move |bytes| moving.inc(bytes));

    let output = Output::create(&args.output_path)?;
    let written = builder.write(output.file()).map_err(failure)?;
    bar.finish_and_clear();
    check_size(written.size_bytes, args)?;
    output.finish()
}

/// Reads a private key; one that only Rota accepts gives a warning.
pub(crate) fn signing_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let key =
        SigningKey::from_pem(&pem).with_context(|| format!("cannot use {}", path.display()))?;
    if !key.algorithm().is_portable() {
        warn("only Rota's own clients accept Ed25519 signatures; Mender's clients refuse them");
    }
    Ok(key)
}

fn check_size(size_bytes: u64, args: &WriteArgs) -> Result<(), Failure> {
    if let Some(Size(limit)) = args.warn_artifact_size
        && size_bytes > limit
    {
        warn(&format!("the Artifact has {size_bytes} bytes, more than {limit}"));
    }
    match args.max_artifact_size {
        Some(Size(limit)) if size_bytes > limit => {
            let error =
                anyhow::anyhow!("the Artifact would have {size_bytes} bytes, more than {limit}");
            Err(Failure::new(Code::Output, error))
        }
        _ => Ok(()),
    }
}

fn failure(error: WriteError) -> Failure {
    let code = match error {
        WriteError::Output(_) => Code::Output,
        _ => Code::Usage,
    };
    Failure::new(code, error)
}
