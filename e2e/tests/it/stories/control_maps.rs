//! Updates that wait on their device for an operator, and go on, end, or are taken back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::{
    artifact::{self, Health},
    device::Device,
    operator::{Operator, expect},
    wait,
};
use serde_json::{Value, json};

use super::{Stage, desk::Desk, main_job::expect_counts};

const LIMIT: Duration = Duration::from_mins(1);

const DEPLOYMENTS: &str = "/api/management/v1/deployments/deployments";

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let desk = Desk::new(stage.folder);
    desk.sign_in(stage)?;
    let folder = stage.folder.join("device");
    let mut device = Device::lay_out(&folder, 0, &stage.platform.home(0))?;
    // It asks each second whether it may go on, and a slow machine does not let its map expire.
    device.configure(&json!({
        "UpdateControlMapPollIntervalSeconds": 1,
        "UpdateControlMapExpirationTimeSeconds": 3600,
    }))?;
    device.switch_on()?;
    let id = operator.accept(1, LIMIT).await?.pop().context("no device")?;
    for version in ["v1", "v2", "v3"] {
        let name = format!("app-{version}");
        let file = artifact::build_app(stage.folder, &name, version, Health::Sound)?;
        operator.upload(&file).await?;
    }

    goes_on(&operator, &desk, &device, &id).await?;
    fails(&operator, &device, &id).await?;
    is_taken_back(&operator, &device, &id).await
}

/// A device waits with what it has downloaded, changes nothing, and goes on when it is told to.
async fn goes_on(operator: &Operator, desk: &Desk<'_>, device: &Device, id: &str) -> Result<()> {
    let create = ["deployment", "create", "--release", "app-v1", "--device", id];
    let created = desk.json(&[&create[..], &["--pause-before", "install"]].concat())?;
    let deployment = created["id"].as_str().context("no deployment")?;
    waits(operator, deployment, "pause_before_installing").await?;
    ensure!(device.version()? == "none", "a device that waits installed {}", device.version()?);
    let shown = operator.get(&format!("{DEPLOYMENTS}/{deployment}")).await?;
    let map = json!({ "id": deployment, "priority": 0, "states": {
        "ArtifactInstall_Enter": { "action": "pause" },
    } });
    ensure!(shown["update_control_map"] == map, "the deployment is {shown}");
    let paused = format!("{DEPLOYMENTS}/{deployment}/devices/list?status=pause");
    ensure!(operator.get(&paused).await?[0]["id"] == id, "the device is not listed as waiting");

    // It may go on, but not to the end.
    desk.run(&["deployment", "control", deployment, "--pause-before", "commit"])?;
    waits(operator, deployment, "pause_before_committing").await?;
    ensure!(device.version()? == "v1", "{} waits to be committed", device.version()?);

    desk.run(&["deployment", "control", deployment, "--continue"])?;
    operator.finished(deployment, LIMIT).await?;
    expect_counts(operator, deployment, &json!({ "success": 1 })).await?;
    ensure!(device.version()? == "v1", "{} on the device's disk", device.version()?);
    let again = ["deployment", "control", deployment, "--continue"];
    ensure!(desk.exit_code(&again)? == Some(1), "a finished deployment was changed");
    Ok(())
}

/// A map ends an update, and the device goes back to what it had.
async fn fails(operator: &Operator, device: &Device, id: &str) -> Result<()> {
    let map = json!({ "states": { "ArtifactCommit_Enter": { "action": "fail" } } });
    let deployment = deploy(operator, "app-v2", id, &map).await?;
    operator.finished(&deployment, LIMIT).await?;
    expect_counts(operator, &deployment, &json!({ "failure": 1 })).await?;
    ensure!(device.version()? == "v1", "a failed update left {}", device.version()?);
    let log = operator.log(&deployment, id).await?;
    ensure!(log.contains("ArtifactCommit_Enter"), "no reason in the log:\n{log}");
    Ok(())
}

/// A device that waits hears that its deployment was aborted, and goes back.
async fn is_taken_back(operator: &Operator, device: &Device, id: &str) -> Result<()> {
    let map = json!({ "states": { "ArtifactCommit_Enter": { "action": "pause" } } });
    let deployment = deploy(operator, "app-v3", id, &map).await?;
    waits(operator, &deployment, "pause_before_committing").await?;
    ensure!(device.version()? == "v3", "{} waits to be committed", device.version()?);
    let request = operator.request(Method::PUT, &format!("{DEPLOYMENTS}/{deployment}/status"));
    let answer = request.json(&json!({ "status": "aborted" })).send().await?;
    expect(answer, StatusCode::NO_CONTENT).await?;
    wait::until("the device to go back", LIMIT, || async {
        Ok((device.version()? == "v1").then_some(()))
    })
    .await?;
    expect_counts(operator, &deployment, &json!({ "aborted": 1 })).await
}

async fn deploy(operator: &Operator, release: &str, device: &str, map: &Value) -> Result<String> {
    let body = json!({
        "name": release, "artifact_name": release, "devices": [device],
        "update_control_map": map,
    });
    operator.create_deployment(&body).await
}

/// The deployment's one device waits, and says where.
async fn waits(operator: &Operator, deployment: &str, status: &str) -> Result<()> {
    wait::until(&format!("the device to report {status}"), LIMIT, || async {
        Ok((operator.statistics(deployment).await?[status] == 1).then_some(()))
    })
    .await
}
