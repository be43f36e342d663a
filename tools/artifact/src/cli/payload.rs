//! Artifacts for the payload types that Rota's client installs by itself. Files, their order,
//! meta-data and provides are those of Mender's generators.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use flate2::{Compression, write::GzEncoder};
use rota_artifact::Builder;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{
    args::WriteArgs,
    payload_args::{
        DebArgs, DirectoryArgs, DockerArgs, DockerComposeArgs, Reboot, ScriptArgs, SingleFileArgs,
    },
    tree,
    write::{Order, with_software},
};

type Made = anyhow::Result<(Builder, WriteArgs)>;

/// Provides of all compose projects: one replaces the other. The first pattern is the generator's,
/// which does not match the key that it writes itself.
const COMPOSE_PROVIDES: [&str; 2] = ["*mender-docker-compose_*", "*mender-docker-compose.*"];

pub(super) fn single_file(args: SingleFileArgs, order: &Order) -> Made {
    let SingleFileArgs { common, software, file, dest_dir } = args;
    let metadata =
        fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(metadata.is_file(), "{} is not a plain file", file.display());
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name in UTF-8", file.display()))?;
    let builder = Builder::module_image("single-file", &common.artifact_name)
        .file_bytes("dest_dir", line(&destination(&dest_dir)?))
        .file_bytes("filename", line(name))
        .file_bytes("permissions", line(&format!("{:o}", mode(&metadata))))
        .file(file);
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

/// `scratch` keeps the archive until the Artifact is written.
pub(super) fn directory(args: DirectoryArgs, order: &Order, scratch: &TempDir) -> Made {
    let DirectoryArgs { common, software, file, dest_dir } = args;
    let dest_dir = destination(&dest_dir)?;
    ensure!(
        !dest_dir.trim_end_matches('/').is_empty(),
        "a device's root cannot be replaced by a folder"
    );
    let archive = scratch.path().join("update.tar");
    pack(&archive, |sink| tree::pack(&file, Path::new("."), sink))?;
    let builder = Builder::module_image("directory", &common.artifact_name)
        .file(archive)
        .file_bytes("dest_dir", line(&dest_dir));
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

pub(super) fn script(args: ScriptArgs, order: &Order) -> Made {
    let ScriptArgs { common, software, file, rollback, reboot } = args;
    let mut meta_data = reboot_wish(reboot);
    if rollback {
        meta_data.insert("rollback".to_owned(), Value::Bool(true));
    }
    let builder = with_files(Builder::module_image("script", &common.artifact_name), file);
    let builder = builder.meta_data(meta_data);
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

pub(super) fn deb(args: DebArgs, order: &Order) -> Made {
    let DebArgs { common, software, file, reboot } = args;
    if let Some(other) = file.iter().find(|file| file.extension().is_none_or(|end| end != "deb")) {
        bail!("{} does not end in .deb, and would not be installed", other.display());
    }
    let builder = with_files(Builder::module_image("deb", &common.artifact_name), file);
    let builder = builder.meta_data(reboot_wish(reboot));
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

pub(super) fn docker(args: DockerArgs, order: &Order) -> Made {
    let DockerArgs { common, software, image, run_args } = args;
    for image in &image {
        let is_plain = !image.is_empty() && !image.starts_with('-') && !image.contains(' ');
        ensure!(is_plain, "{image:?} is no name of an image");
        if !image.contains('@') {
            super::warn(&format!("{image} has no digest; devices run what it means by then"));
        }
    }
    let mut meta_data = Map::new();
    meta_data.insert("containers".to_owned(), json!(image));
    meta_data.insert("run_args".to_owned(), json!(run_args.unwrap_or_default()));
    let builder = Builder::module_image("docker", &common.artifact_name).meta_data(meta_data);
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

/// `scratch` keeps the archives until the Artifact is written.
pub(super) fn docker_compose(args: DockerComposeArgs, order: &Order, scratch: &TempDir) -> Made {
    let DockerComposeArgs { mut common, mut software, project_name, manifests_dir, images_dir } =
        args;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    ensure!(
        !project_name.is_empty() && project_name.chars().all(is_plain),
        "a project's name is of letters, digits, _ and -, not {project_name:?}"
    );
    for folder in [&manifests_dir, &images_dir] {
        let mut entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        ensure!(entries.next().is_some(), "{} is empty", folder.display());
    }
    let images = scratch.path().join("images.tar.gz");
    pack(&images, |sink| {
        let mut encoder = GzEncoder::new(sink, Compression::default());
        tree::pack(&images_dir, Path::new("images"), &mut encoder)?;
        encoder.finish().context("cannot compress the images").map(|_| ())
    })?;
    let manifests = scratch.path().join("manifests.tar");
    pack(&manifests, |sink| tree::pack(&manifests_dir, Path::new("manifests"), sink))?;

    // The images are compressed already.
    common.compression.get_or_insert(super::args::CompressionChoice::none());
    common.clears_provides.extend(COMPOSE_PROVIDES.map(str::to_owned));
    let default_name = || format!("mender-docker-compose.{project_name}");
    software.software_name.get_or_insert_with(default_name);
    software.no_default_clears_provides = true;
    let mut meta_data = Map::new();
    meta_data.insert("version".to_owned(), json!("1"));
    meta_data.insert("project_name".to_owned(), json!(project_name));
    let builder = Builder::module_image("docker-compose", &common.artifact_name)
        .file(images)
        .file(manifests)
        .meta_data(meta_data);
    Ok((with_software(builder, &common.provides, software, order)?, common))
}

fn with_files(builder: Builder, files: Vec<PathBuf>) -> Builder {
    files.into_iter().fold(builder, Builder::file)
}

fn reboot_wish(reboot: Option<Reboot>) -> Map<String, Value> {
    let mut meta_data = Map::new();
    if let Some(reboot) = reboot {
        let value = match reboot {
            Reboot::Always => json!(true),
            Reboot::IfRequired => json!("if-required"),
        };
        meta_data.insert("reboot".to_owned(), value);
    }
    meta_data
}

/// An absolute folder on the device, as the client takes it.
fn destination(text: &str) -> anyhow::Result<String> {
    let path = Path::new(text);
    let leads_back = path.components().any(|part| part == Component::ParentDir);
    ensure!(
        path.is_absolute() && !leads_back && !text.contains(char::is_control),
        "--dest-dir must be an absolute path without .., not {text:?}"
    );
    Ok(text.to_owned())
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

fn pack(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let mut sink = BufWriter::new(File::create(path).with_context(context)?);
    fill(&mut sink)?;
    sink.flush().with_context(context)
}

#[cfg(unix)]
fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0o644
}
