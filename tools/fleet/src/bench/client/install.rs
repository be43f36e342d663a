//! Installs that stream a large Artifact: peak memory for each compression, CPU for gzip.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::server::Server;
use crate::{
    artifact::{self, Device},
    measure,
    platform::ours,
    report::{self, Table},
};

/// The payload whose install is compared with `gzip -dc | sha256sum`, in megabytes.
const CPU_MEGABYTES: u64 = 500;

/// Measures both.
pub(crate) fn measure(
    table: &mut Table,
    client: &Path,
    server: &Server,
    megabytes: u64,
    runs: usize,
) -> Result<()> {
    report::progress(&format!("making a payload of {megabytes} MB"));
    let payload = server.files().join("large.img");
    write_payload(&payload, megabytes)?;
    for compression in ["gzip", "zstd", "xz"] {
        let name = format!("{compression}.mender");
        let out = server.files().join(&name);
        write_artifact(&payload, &out, compression)?;
        report::progress(&format!("installing it, {compression}"));
        let device = Device::new(client, server.files(), server.authority())?;
        let cost = measure::once(&device.install(&format!("{}/files/{name}", server.url()))?)?;
        fs::remove_file(&out)?;
        let what = format!("client, install of {megabytes} MB, {compression}: peak memory");
        table.absolute(&what, cost.peak / 1e6, "MB");
    }
    fs::remove_file(&payload)?;
    cpu(table, client, server, runs)
}

/// The CPU of an install from a file against that of the least that could be done.
fn cpu(table: &mut Table, client: &Path, server: &Server, runs: usize) -> Result<()> {
    report::progress("installing against gzip -dc | sha256sum");
    let payload = artifact::payload(server.files(), CPU_MEGABYTES)?;
    let out = server.files().join("cpu.mender");
    write_artifact(&payload, &out, "gzip")?;
    let stream = server.files().join("cpu.gz");
    artifact::extract_payload(&out, &stream)?;
    let device = Device::new(client, server.files(), server.authority())?;
    let pipeline = format!("gzip -dc '{}' | sha256sum", stream.display());
    let (cost, other) = measure::in_turn(
        &device.install(&out.display().to_string())?,
        &["sh".to_owned(), "-c".to_owned(), pipeline],
        runs,
    )?;
    table.ratio("client, install, gzip: CPU", cost.cpu, other.cpu, "s", "gzip -dc | sha256sum");
    Ok(())
}

fn write_artifact(payload: &Path, out: &Path, compression: &str) -> Result<()> {
    let status = Command::new(ours("rota-artifact")?)
        .args(["write", "rootfs-image", "--artifact-name", "bench"])
        .args(["--device-type", artifact::DEVICE_TYPE, "--compression", compression])
        .arg("--file")
        .arg(payload)
        .arg("--output-path")
        .arg(out)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .context("cannot start rota-artifact")?;
    ensure!(status.success(), "rota-artifact ended with {status}");
    Ok(())
}

/// Noise and much that repeats: xz would take minutes for more noise, and needs no more memory
/// for it.
fn write_payload(path: &PathBuf, megabytes: u64) -> Result<()> {
    const BLOCK: usize = 1 << 20;
    let mut file = BufWriter::new(fs::File::create(path)?);
    let mut random = SmallRng::seed_from_u64(1);
    let mut block = vec![0_u8; BLOCK];
    let (noise, _) = block.split_at_mut(BLOCK / 2);
    random.fill_bytes(noise);
    for _ in 0..megabytes * 1_000_000 / BLOCK as u64 {
        if let Some(part) = block.get_mut(..BLOCK / 32) {
            random.fill_bytes(part);
        }
        file.write_all(&block)?;
    }
    file.flush()?;
    Ok(())
}
