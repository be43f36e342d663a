//! A large Artifact: written, validated, and installed as a stream.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    measure::{self, Cost},
    platform::ours,
    report::{self, Table},
};

/// The Update Module that the install is measured with: it takes the stream and drops it, so
/// that what is measured is the client.
const SINK_MODULE: &str = r#"#!/bin/sh
case "$1" in
  Download)
    cd "$2"
    while stream=$(cat stream-next) && [ -n "$stream" ]; do cat "$stream" >/dev/null; done
    ;;
  NeedsArtifactReboot) echo No ;;
  SupportsRollback) echo No ;;
esac
"#;

/// What the Artifacts of all measurements are for.
pub(crate) const DEVICE_TYPE: &str = "bench-board";

/// Measures all three.
pub(crate) fn measure(table: &mut Table, megabytes: u64, runs: usize) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rota-bench").tempdir()?;
    report::progress(&format!("making a payload of {megabytes} MB"));
    let payload = payload(folder.path(), megabytes)?;

    report::progress("writing Artifacts");
    let ours_out = folder.path().join("ours.mender");
    let theirs_out = folder.path().join("theirs.mender");
    let write = |program: &Path, out: &Path| {
        words(&[
            program.as_os_str(),
            "write".as_ref(),
            "rootfs-image".as_ref(),
            "--file".as_ref(),
            payload.as_os_str(),
            "--artifact-name".as_ref(),
            "bench".as_ref(),
            "--device-type".as_ref(),
            DEVICE_TYPE.as_ref(),
            "--output-path".as_ref(),
            out.as_os_str(),
        ])
    };
    let artifact_tool = ours("rota-artifact")?;
    let mender_artifact = Path::new("mender-artifact");
    let written = measure::in_turn(
        &write(&artifact_tool, &ours_out),
        &write(mender_artifact, &theirs_out),
        runs,
    )?;
    rows(table, "write, gzip", written, "mender-artifact");

    report::progress("validating Artifacts");
    let validate =
        |program: &Path| words(&[program.as_os_str(), "validate".as_ref(), theirs_out.as_os_str()]);
    let validated = measure::in_turn(&validate(&artifact_tool), &validate(mender_artifact), runs)?;
    rows(table, "validate", validated, "mender-artifact");

    report::progress("installing an Artifact");
    let stream = folder.path().join("stream.gz");
    extract_payload(&theirs_out, &stream)?;
    let authority = folder.path().join("none.pem");
    let device = Device::new(&ours("rota-client")?, folder.path(), &authority)?;
    let pipeline = format!("gzip -dc '{}' | sha256sum", stream.display());
    let installed = measure::in_turn(
        &device.install(&theirs_out.display().to_string())?,
        &words(&["sh".as_ref(), "-c".as_ref(), pipeline.as_ref()]),
        runs,
    )?;
    let (cost, other) = installed;
    table.ratio("install, gzip: CPU", cost.cpu, other.cpu, "s", "gzip -dc | sha256sum");
    table.absolute("install, gzip: peak memory", cost.peak / 1e6, "MB");
    Ok(())
}

fn rows(table: &mut Table, what: &str, (cost, other): (Cost, Cost), against: &str) {
    table.ratio(&format!("{what}: time"), cost.wall, other.wall, "s", against);
    table.ratio(&format!("{what}: CPU"), cost.cpu, other.cpu, "s", against);
    table.ratio(&format!("{what}: peak memory"), cost.peak / 1e6, other.peak / 1e6, "MB", against);
}

fn words(parts: &[&std::ffi::OsStr]) -> Vec<String> {
    parts.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// A file that compresses about as a root file system does: half of it noise, half repeating.
pub(crate) fn payload(folder: &Path, megabytes: u64) -> Result<PathBuf> {
    const BLOCK: usize = 64 * 1024;
    let path = folder.join("payload.img");
    let mut file = BufWriter::new(fs::File::create(&path)?);
    let mut random = SmallRng::seed_from_u64(1);
    let mut block = vec![0_u8; BLOCK];
    for index in 0..megabytes * 1_000_000 / BLOCK as u64 {
        if index % 2 == 0 {
            random.fill(&mut block[..]);
        } else {
            for word in block.chunks_mut(16) {
                let text = format!("{:016x}", random.random_range(0..4096_u32));
                word.copy_from_slice(text.as_bytes());
            }
        }
        file.write_all(&block)?;
    }
    file.flush()?;
    Ok(path)
}

/// Takes the compressed payload archive out of an Artifact.
pub(crate) fn extract_payload(artifact: &Path, to: &Path) -> Result<()> {
    let status = process::Command::new("tar")
        .args(["--extract", "--to-stdout", "--file"])
        .arg(artifact)
        .arg("data/0000.tar.gz")
        .stdout(fs::File::create(to)?)
        .status()
        .context("cannot start tar")?;
    ensure!(status.success(), "tar ended with {status}");
    Ok(())
}

/// A device to install on, new for each install.
pub(crate) struct Device {
    script: PathBuf,
}

impl Device {
    /// `authority` (PEM) is trusted when an Artifact is fetched.
    pub(crate) fn new(client: &Path, folder: &Path, authority: &Path) -> Result<Self> {
        let device = folder.join("device");
        let modules = device.join("share/modules/v3");
        fs::create_dir_all(&modules)?;
        fs::create_dir_all(device.join("etc"))?;
        let module = modules.join("rootfs-image");
        fs::write(&module, SINK_MODULE)?;
        fs::set_permissions(&module, fs::Permissions::from_mode(0o755))?;
        let settings = serde_json::json!({ "ServerCertificate": authority });
        fs::write(device.join("etc/mender.conf"), settings.to_string())?;
        let script = folder.join("install.sh");
        let text = format!(
            "set -e\ncd '{device}'\nrm -rf var\nmkdir var\n\
             echo device_type={DEVICE_TYPE} >var/device_type\n\
             export MENDER_CONF_DIR=$PWD/etc MENDER_DATA_DIR=$PWD/share \
             MENDER_DATASTORE_DIR=$PWD/var\n\
             exec '{client}' install \"$1\"\n",
            device = device.display(),
            client = client.display(),
        );
        fs::write(&script, text)?;
        Ok(Self { script })
    }

    /// The command that installs an Artifact, a file or an address.
    pub(crate) fn install(&self, artifact: &str) -> Result<Vec<String>> {
        let script = self.script.to_str().context("the folder's name is no text")?;
        Ok(["sh", script, artifact].map(str::to_owned).to_vec())
    }
}
