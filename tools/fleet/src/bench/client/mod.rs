//! The device client: its size, its memory and what it does while nothing happens.

mod idle;
mod install;
mod server;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    platform::ours,
    report::{self, Table},
};

/// Which client is measured.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The client to measure; the one beside this program if none is named
    #[arg(long)]
    client: Option<PathBuf>,
    /// Another build of the client, whose size is of interest; may be repeated
    #[arg(long, value_name = "WHAT=FILE")]
    client_build: Vec<String>,
    /// Size of the payload whose install is measured for memory, in megabytes
    #[arg(long, default_value_t = 1000)]
    client_megabytes: u64,
    /// How long the idle client is watched, in seconds
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
}

impl Settings {
    fn client(&self) -> Result<PathBuf> {
        let Some(path) = &self.client else { return ours("rota-client") };
        ensure!(path.is_file(), "{} is not there; run `make bench-client`", path.display());
        Ok(fs::canonicalize(path)?)
    }
}

/// Measures all of it.
pub(crate) async fn measure(table: &mut Table, settings: &Settings, runs: usize) -> Result<()> {
    let client = settings.client()?;
    size(table, std::env::consts::ARCH, &client)?;
    for build in &settings.client_build {
        let (what, path) = build.split_once('=').context("--client-build takes WHAT=FILE")?;
        match fs::read_to_string(format!("{path}.reason")) {
            Ok(reason) => table.missing(&format!("client, {what}: size"), reason.trim()),
            Err(_) => size(table, what, &PathBuf::from(path))?,
        }
    }
    let folder = tempfile::Builder::new().prefix("rota-bench").tempdir()?;
    let server = server::Server::start(folder.path()).await?;
    report::progress("watching the client while nothing happens");
    idle::measure(table, &client, &server, settings.idle_seconds).await?;
    install::measure(table, &client, &server, settings.client_megabytes, runs)
}

fn size(table: &mut Table, what: &str, path: &PathBuf) -> Result<()> {
    let bytes = fs::metadata(path).with_context(|| format!("no {}", path.display()))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    table.absolute(&format!("client, {what}: size"), bytes as f64 / 1e6, "MB");
    Ok(())
}
