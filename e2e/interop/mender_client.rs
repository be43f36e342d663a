//! Debian's `mender` does the main job against our server.

use std::{fs, os::unix::fs::PermissionsExt};

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    artifact::DEVICE_TYPE,
    device::Home,
    operator::Operator,
    platform::Form,
    stage::{Stage, tell},
    wait,
};
use serde_json::{Value, json};

use crate::{
    LIMIT, log,
    mender_device::{FIRST_RELEASE, MenderDevice},
    outcome,
    single_file::{FILE_NAME, SingleFile, Writer},
};

#[tokio::test(flavor = "multi_thread")]
async fn mender_client_takes_a_good_update_and_rolls_back_a_bad_one() -> Result<()> {
    tell(Form::OneProcess, main_job).await
}

async fn main_job(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    // The token is what it was given by the server it comes from.
    let home = Home { tenant_token: "foreign".to_owned(), ..stage.platform.home(0) };
    let mut device = MenderDevice::lay_out(&stage.folder.join("device"), 7, &home)?;
    device.switch_on()?;
    let told = take_and_refuse(stage, &operator, &device).await;
    told.with_context(|| format!("what mender printed:\n{}", device.printed()))
}

async fn take_and_refuse(
    stage: &Stage<'_>,
    operator: &Operator,
    device: &MenderDevice,
) -> Result<()> {
    let accepted = operator.accept(1, LIMIT).await?;
    let id = accepted.first().context("nobody was accepted")?;
    let known = operator.devices("accepted").await?;
    ensure!(known.len() == 1 && known[0].identity == json!({ "serial": "7" }), "{known:?}");
    inventory_says(operator, id, FIRST_RELEASE).await?;

    let folder = stage.folder;
    let place = device.software();
    let write =
        |name, content| SingleFile::new(Writer::RotaArtifact, folder, name, &place, content, "640");
    operator.upload(&write("motd-1", "welcome\n")?.write()?).await?;
    let (_, status) = outcome(operator, "motd-1", id).await?;
    ensure!(status == "success", "the good update ended with {status}");
    let installed = place.join(FILE_NAME);
    ensure!(fs::read_to_string(&installed)? == "welcome\n", "something else was installed");
    let mode = fs::metadata(&installed)?.permissions().mode() & 0o7777;
    ensure!(mode == 0o640, "installed with mode {mode:o}");
    inventory_says(operator, id, "motd-1").await?;

    // The Update Module installs it; what the Artifact brings along then refuses the commit.
    let refusal = folder.join("ArtifactCommit_Enter_00_refuse");
    fs::write(&refusal, "#!/bin/sh\necho this device stays as it is >&2\nexit 1\n")?;
    let refused = write("motd-2", "go away\n")?.flag("--compression", "xz");
    operator.upload(&refused.flag("--script", &refusal).write()?).await?;
    fails(operator, "motd-2", id, "this device stays as it is").await?;
    ensure!(fs::read_to_string(&installed)? == "welcome\n", "the bad update was not rolled back");

    // The Update Module itself fails: a file cannot be a folder.
    let nowhere = installed.join("below");
    let misplaced =
        SingleFile::new(Writer::RotaArtifact, folder, "motd-3", &nowhere, "lost\n", "640")?;
    operator.upload(&misplaced.flag("--compression", "none").write()?).await?;
    fails(operator, "motd-3", id, "Not a directory").await?;
    ensure!(fs::read_to_string(&installed)? == "welcome\n", "the bad update left something");
    inventory_says(operator, id, "motd-1").await
}

/// A deployment ends with `failure`, and the log that the operator reads says why.
async fn fails(operator: &Operator, release: &str, device: &str, reason: &str) -> Result<()> {
    let (deployment, status) = outcome(operator, release, device).await?;
    ensure!(status == "failure", "{release} ended with {status}");
    let log = log(operator, &deployment, device).await?;
    ensure!(log.contains(reason), "no {reason:?} in the log of {release}:\n{log}");
    Ok(())
}

/// Waits until the inventory holds what the device is known by and what it sends: of itself, of
/// its script, and the release that it has.
async fn inventory_says(operator: &Operator, device: &str, release: &str) -> Result<()> {
    let expected = [
        ("identity", "status", json!("accepted")),
        ("identity", "serial", json!("7")),
        ("inventory", "story", json!("interop")),
        ("inventory", "port", json!(["8080", "8443"])),
        ("inventory", "device_type", json!(DEVICE_TYPE)),
        ("inventory", "artifact_name", json!(release)),
    ];
    wait::until(&format!("an inventory with {release}"), LIMIT, || async {
        let path = format!("/api/management/v1/inventory/devices/{device}");
        let record = operator.get(&path).await?;
        for (scope, name, value) in &expected {
            let found = attribute(&record, scope, name);
            ensure!(found == Some(value), "{scope} {name} is {found:?} in {record}");
        }
        let version = attribute(&record, "inventory", "mender_client_version");
        let version = version.and_then(Value::as_str);
        ensure!(version.is_some_and(|text| text.starts_with("3.")), "client {version:?}");
        Ok(Some(()))
    })
    .await
}

/// The value of an attribute in a device's inventory.
fn attribute<'a>(record: &'a Value, scope: &str, name: &str) -> Option<&'a Value> {
    let found = record["attributes"]
        .as_array()?
        .iter()
        .find(|attribute| attribute["scope"] == scope && attribute["name"] == name)?;
    found.get("value")
}
