//! A device moves to another server by changing its `ServerURL` alone, and stays who it is.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::{
    operator::{Operator, expect, location},
    platform::{Form, Platform},
    stage::{Stage, tell},
};
use serde_json::{Value, json};

use crate::{
    LIMIT,
    mender_device::MenderDevice,
    outcome,
    single_file::{FILE_NAME, SingleFile, Writer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_moves_keeps_its_identity_its_key_and_its_release() -> Result<()> {
    tell(Form::OneProcess, moves).await
}

async fn moves(stage: &mut Stage<'_>) -> Result<()> {
    let old = stage.platform.operator().await?;
    let mut device =
        MenderDevice::lay_out(&stage.folder.join("device"), 7, &stage.platform.home(0))?;
    device.switch_on()?;
    let place = stage.folder.join("new-platform");
    std::fs::create_dir(&place)?;
    let platform = Platform::start(Form::OneProcess, &place).await?;
    let new = platform.operator().await?;
    let told = move_over(stage, &old, &new, &platform, &mut device).await;
    told.with_context(|| {
        format!(
            "what mender printed:\n{}\nwhat the new platform printed:\n{}",
            device.printed(),
            platform.all_printed()
        )
    })
}

async fn move_over(
    stage: &Stage<'_>,
    old: &Operator,
    new: &Operator,
    platform: &Platform,
    device: &mut MenderDevice,
) -> Result<()> {
    let accepted = old.accept(1, LIMIT).await?;
    let old_id = accepted.first().context("nobody was accepted")?;
    let software = device.software();
    let write = |name, content| {
        SingleFile::new(Writer::RotaArtifact, stage.folder, name, &software, content, "644")
    };
    old.upload(&write("motd-1", "old home\n")?.write()?).await?;
    let (_, status) = outcome(old, "motd-1", old_id).await?;
    ensure!(status == "success", "at the old server: {status}");

    // The operator tells the new server whom to expect: what the old one lists.
    let (identity, key) = whom_to_expect(old, old_id).await?;
    let body = json!({ "identity_data": identity, "pubkey": key });
    let path = "/api/management/v2/devauth/devices";
    let answer = new.request(Method::POST, path).json(&body).send().await?;
    let new_id = location(&expect(answer, StatusCode::CREATED).await?)?;

    device.switch_off()?;
    device.set_home(&platform.home(0))?;
    device.switch_on()?;
    let next = write("motd-2", "new home\n")?.flag("--artifact-name-depends", "motd-1");
    new.upload(&next.write()?).await?;
    let (_, status) = outcome(new, "motd-2", &new_id).await?;
    ensure!(status == "success", "at the new server: {status}");
    let installed = std::fs::read_to_string(software.join(FILE_NAME))?;
    ensure!(installed == "new home\n", "installed: {installed}");

    let path = "/api/management/v2/devauth/devices";
    let listed = new.get(path).await?;
    ensure!(listed.as_array().map(Vec::len) == Some(1), "another device appeared: {listed}");
    let sets = listed[0]["auth_sets"].as_array().context("no auth sets")?;
    ensure!(sets.len() == 1 && sets[0]["status"] == "accepted", "auth sets: {listed}");
    Ok(())
}

/// A device's identity data and public key, as a server lists them.
async fn whom_to_expect(operator: &Operator, device: &str) -> Result<(Value, Value)> {
    let path = format!("/api/management/v2/devauth/devices/{device}");
    let mut device = operator.get(&path).await?;
    let key = device["auth_sets"][0]["pubkey"].take();
    ensure!(key.is_string(), "no public key in {device}");
    Ok((device["identity_data"].take(), key))
}
