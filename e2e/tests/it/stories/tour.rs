//! The README's tour: `rotactl`, a few simulated devices, a release, a deployment.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    process::{Process, Program},
    programs, wait,
};

use super::{Stage, desk::Desk};

const LIMIT: Duration = Duration::from_mins(1);
const DEVICES: usize = 5;

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let desk = Desk::new(stage.folder);
    ensure!(desk.exit_code(&["whoami"])? == Some(4), "nobody is signed in yet");
    desk.sign_in(stage)?;
    let _healthy = fleet(stage, 0, 0)?;
    let _failing = fleet(stage, 1, 100)?;
    accepted(&desk).await?;

    let artifact = artifact(stage.folder)?;
    let uploaded = desk.json(&["artifact", "upload", &artifact])?;
    ensure!(uploaded["id"].is_string(), "the upload said {uploaded}");
    ensure!(desk.run(&["artifact", "list"])?.contains("hello-1"), "the list lacks the Artifact");
    ensure!(desk.run(&["release", "list"])?.contains("hello-1"), "the list lacks the release");
    ensure!(desk.exit_code(&["artifact", "upload", &artifact])? == Some(1), "it was taken twice");

    // Half of the devices fail, and the exit code says so.
    let create = ["deployment", "create", "--release", "hello-1", "--all", "--watch"];
    ensure!(desk.exit_code(&create)? == Some(3), "failures went unnoticed");
    let deployments = desk.json(&["deployment", "list"])?;
    let id = deployments[0]["id"].as_str().context("no deployment")?;
    let shown = desk.json(&["deployment", "show", id])?;
    let devices = shown["devices"].as_array().context("no devices")?;
    let ended = |word| devices.iter().filter(|device| device["status"] == word).count();
    ensure!(ended("success") == DEVICES && ended("failure") == DEVICES, "devices: {devices:?}");

    let copy = stage.folder.join("copy.mender").to_string_lossy().into_owned();
    let id = uploaded["id"].as_str().context("no id")?;
    desk.run(&["artifact", "download", id, "--file", &copy])?;
    ensure!(std::fs::read(&copy)? == std::fs::read(&artifact)?, "other bytes came back");
    desk.run(&["logout"])?;
    ensure!(desk.exit_code(&["whoami"])? == Some(4), "still signed in");
    Ok(())
}

/// Starts devices on paper; `failing` is in percent.
fn fleet(stage: &Stage<'_>, seed: u64, failing: u8) -> Result<Process> {
    let gateway = stage.platform.gateways().first().context("no gateway")?;
    let gateway = gateway.strip_prefix("https://").context("no https")?;
    let name = format!("rota-fleet-{seed}");
    Program::new(&name, programs::ours("rota-fleet")?, stage.folder)
        .flag("--gateway", gateway)
        .flag("--certificate", stage.platform.certificate())
        .flag("--devices", DEVICES.to_string())
        .flag("--seed", seed.to_string())
        .flag("--poll-seconds", "1")
        .flag("--failing-percent", failing.to_string())
        .start()
}

/// Accepts every device of both fleets.
async fn accepted(desk: &Desk<'_>) -> Result<()> {
    let count = |status: &str| -> Result<usize> {
        let listed = desk.json(&["device", "list", "--status", status])?;
        Ok(listed.as_array().context("no list")?.len())
    };
    wait::until("pending devices", LIMIT, || async {
        Ok((count("pending")? == 2 * DEVICES).then_some(()))
    })
    .await?;
    desk.run(&["device", "accept", "--all-pending"])?;
    ensure!(count("accepted")? == 2 * DEVICES, "not all were accepted");
    Ok(())
}

fn artifact(folder: &Path) -> Result<String> {
    let file = folder.join("motd");
    std::fs::write(&file, "hello\n")?;
    let artifact = folder.join("hello-1.mender");
    Program::new("rota-artifact", programs::ours("rota-artifact")?, folder)
        .argument("write")
        .argument("single-file")
        .flag("--artifact-name", "hello-1")
        .flag("--device-type", "simulated-board")
        .flag("--file", &file)
        .flag("--dest-dir", "/etc")
        .flag("--output-path", &artifact)
        .run()?;
    Ok(artifact.to_string_lossy().into_owned())
}
