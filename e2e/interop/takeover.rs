//! A device whose client is replaced by ours in the middle of an update: the update ends, the
//! server is told, and the device stays who it is.

use std::fs;

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    operator::Operator,
    platform::Form,
    stage::{Stage, tell},
    wait,
};

use crate::{
    LIMIT,
    mender_device::MenderDevice,
    outcome,
    single_file::{FILE_NAME, SingleFile, Writer},
};

#[tokio::test(flavor = "multi_thread")]
async fn rota_client_ends_the_update_that_mender_began() -> Result<()> {
    tell(Form::OneProcess, replaced).await
}

async fn replaced(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let mut device =
        MenderDevice::lay_out(&stage.folder.join("device"), 8, &stage.platform.home(0))?;
    device.switch_on()?;
    let told = replace(stage, &operator, &mut device).await;
    told.with_context(|| format!("what the client printed:\n{}", device.printed()))
}

async fn replace(stage: &Stage<'_>, operator: &Operator, device: &mut MenderDevice) -> Result<()> {
    let accepted = operator.accept(1, LIMIT).await?;
    let id = accepted.first().context("nobody was accepted")?;
    let software = device.software();
    let write = |name, content| {
        SingleFile::new(Writer::MenderArtifact, stage.folder, name, &software, content, "644")
    };
    operator.upload(&write("motd-1", "by mender\n")?.write()?).await?;
    let (_, status) = outcome(operator, "motd-1", id).await?;
    ensure!(status == "success", "with the old client: {status}");

    // The old client is stopped in the scripts that come before ArtifactInstall.
    let (held, reached) = (stage.folder.join("held"), stage.folder.join("reached"));
    fs::write(&held, "")?;
    let script = stage.folder.join("ArtifactInstall_Enter_01_hold");
    let text = format!(
        "#!/bin/sh\ntouch '{}'\nwhile [ -e '{}' ]; do sleep 0.1; done\nexit 1\n",
        reached.display(),
        held.display()
    );
    fs::write(&script, text)?;
    operator.upload(&write("motd-2", "half done\n")?.flag("--script", &script).write()?).await?;
    let deployment = operator.deploy("motd-2", "motd-2", std::slice::from_ref(id)).await?;
    wait::until("the update to begin", LIMIT, || async { Ok(reached.exists().then_some(())) })
        .await?;
    device.switch_off()?;
    fs::remove_file(&held)?;

    device.replace_client()?;
    device.switch_on()?;
    operator.finished(&deployment, LIMIT).await?;
    let statuses = operator.device_statuses(&deployment).await?;
    let failed = matches!(&statuses[..], [(_, status)] if status == "failure");
    ensure!(failed, "the update that was cut: {statuses:?}");
    let installed = fs::read_to_string(software.join(FILE_NAME))?;
    ensure!(installed == "by mender\n", "installed after the cut: {installed}");

    // The release that the old client installed is what the server matches.
    let next = write("motd-3", "by rota\n")?.flag("--artifact-name-depends", "motd-1");
    operator.upload(&next.write()?).await?;
    let (_, status) = outcome(operator, "motd-3", id).await?;
    ensure!(status == "success", "with the new client: {status}");
    let installed = fs::read_to_string(software.join(FILE_NAME))?;
    ensure!(installed == "by rota\n", "installed: {installed}");

    let listed = operator.get("/api/management/v2/devauth/devices").await?;
    let sets = listed[0]["auth_sets"].as_array().map(Vec::len);
    let one = listed.as_array().map(Vec::len) == Some(1) && sets == Some(1);
    ensure!(one, "the device is no longer the same: {listed}");
    Ok(())
}
