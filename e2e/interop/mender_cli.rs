//! An operator who keeps using Debian's `mender-cli`.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::{
    artifact::DEVICE_TYPE,
    operator::{Operator, expect, location},
    platform::{Form, Platform},
    process::Program,
    programs,
    stage::{Stage, tell},
};
use rota_fleet::device::SimulatedDevice;
use serde_json::json;

use crate::single_file::{PAYLOAD_TYPE, SingleFile, Writer};

#[tokio::test(flavor = "multi_thread")]
async fn mender_cli_signs_in_uploads_lists_and_deletes() -> Result<()> {
    tell(Form::OneProcess, an_operators_day).await
}

async fn an_operators_day(stage: &mut Stage<'_>) -> Result<()> {
    let cli = MenderCli::new(stage.platform, stage.folder)?;
    ensure!(cli.refused(&["artifacts", "list"])?.contains("Please Login first"), "no login");
    let (email, password) = stage.platform.administrator();
    let wrong = cli.refused(&["login", "--username", email, "--password", "not this one"])?;
    ensure!(wrong.contains("login failed with status 401"), "a wrong password: {wrong}");
    cli.run(&["login", "--username", email, "--password", password])?;
    ensure!(!cli.run(&["artifacts", "list"])?.contains("Name:"), "Artifacts from nowhere");

    let place = Path::new("/srv");
    let file =
        SingleFile::new(Writer::MenderArtifact, stage.folder, "motd-1", place, "welcome\n", "644")?;
    let file = file.write()?.to_string_lossy().into_owned();
    let upload = ["artifacts", "upload", "--no-progress", "--description", "a greeting", &file];
    cli.run(&upload)?;
    let listed = cli.run(&["artifacts", "list", "--detail", "3"])?;
    for fact in ["motd-1", "a greeting", DEVICE_TYPE, PAYLOAD_TYPE, "permissions"] {
        ensure!(listed.contains(fact), "no {fact:?} in:\n{listed}");
    }
    let again = cli.refused(&upload)?;
    ensure!(again.contains("failed with status 409"), "the same Artifact again: {again}");
    let operator = stage.platform.operator().await?;
    let id = only_id(&listed)?;
    let artifact = format!("/api/management/v1/deployments/artifacts/{id}");
    ensure!(operator.get(&artifact).await?["name"] == "motd-1", "another id than the server's");

    let device = expected_device(&operator).await?;
    let devices = cli.run(&["devices", "list", "--detail", "1"])?;
    ensure!(only_id(&devices)? == device, "another device in:\n{devices}");
    ensure!(devices.contains("preauthorized"), "no status in:\n{devices}");

    cli.run(&["artifacts", "delete", &id])?;
    ensure!(!cli.run(&["artifacts", "list"])?.contains(&id), "the Artifact is still listed");
    let answer = operator.request(Method::GET, &artifact).send().await?;
    ensure!(answer.status() == StatusCode::NOT_FOUND, "deleted, and yet {}", answer.status());
    Ok(())
}

/// Tells the server of a device that has not called yet; gives its id.
async fn expected_device(operator: &Operator) -> Result<String> {
    let device = SimulatedDevice::new(0, 1)?;
    let body = json!({ "identity_data": device.identity(), "pubkey": device.public_key() });
    let path = "/api/management/v2/devauth/devices";
    let answer = operator.request(Method::POST, path).json(&body).send().await?;
    location(&expect(answer, StatusCode::CREATED).await?)
}

/// The id in a list of one.
fn only_id(listed: &str) -> Result<String> {
    let mut ids = listed.lines().filter_map(|line| line.strip_prefix("ID:"));
    let id = ids.next().with_context(|| format!("no id in:\n{listed}"))?;
    ensure!(ids.next().is_none(), "more than one in:\n{listed}");
    Ok(id.trim().to_owned())
}

/// `mender-cli` with a home of its own.
struct MenderCli(Program);

impl MenderCli {
    fn new(platform: &Platform, folder: &Path) -> Result<Self> {
        let server = platform.gateways().first().context("a platform without a gateway")?;
        let program =
            Program::new("mender-cli", programs::theirs("mender-cli", "mender-cli")?, folder)
                .environment("HOME", &folder.to_string_lossy())
                .environment("XDG_CACHE_HOME", &folder.join("cache").to_string_lossy())
                .flag("--server", server)
                .argument("--skip-verify");
        Ok(Self(program))
    }

    fn command(&self, arguments: &[&str]) -> Program {
        arguments.iter().fold(self.0.clone(), Program::argument)
    }

    /// What it prints when it succeeds.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        self.command(arguments).run()
    }

    /// What it says when it fails, as it must.
    fn refused(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output()?;
        ensure!(!output.status.success(), "mender-cli {} succeeded", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
