//! The main job: a device goes from pending to accepted, takes an update, refuses a bad one.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::{
    artifact::{self, Health},
    device::Device,
    operator::{Operator, expect},
    wait,
};
use serde_json::{Value, json};

use super::Stage;

const LIMIT: Duration = Duration::from_mins(1);
const DEVICES: usize = 2;

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let mut devices = Vec::new();
    for serial in 0..DEVICES {
        let folder = stage.folder.join(format!("device-{serial}"));
        let mut device = Device::lay_out(&folder, serial, &stage.platform.home(serial))?;
        device.switch_on()?;
        devices.push(device);
    }
    operator.accept(DEVICES, LIMIT).await?;
    inventory_arrives(&operator).await?;

    let good = artifact::build_app(stage.folder, "app-v1", "v1", Health::Sound)?;
    operator.upload(&good).await?;
    let first = operator
        .create_deployment(&json!({
            "name": "first", "artifact_name": "app-v1", "all_devices": true,
        }))
        .await?;
    operator.finished(&first, LIMIT).await?;
    expect_counts(&operator, &first, &json!({ "success": DEVICES })).await?;
    for device in &devices {
        ensure!(device.version()? == "v1", "{} on a device's disk", device.version()?);
    }

    let bad = artifact::build_app(stage.folder, "app-v2", "v2", Health::Broken)?;
    operator.upload(&bad).await?;
    let ids: Vec<String> =
        operator.devices("accepted").await?.into_iter().map(|device| device.id).collect();
    let second = operator.deploy("second", "app-v2", &ids).await?;
    operator.finished(&second, LIMIT).await?;
    expect_counts(&operator, &second, &json!({ "failure": DEVICES })).await?;
    for (device, id) in devices.iter().zip(&ids) {
        ensure!(device.version()? == "v1", "a failed update left {}", device.version()?);
        let log = operator.log(&second, id).await?;
        ensure!(log.contains("cannot run here"), "no reason in the log:\n{log}");
    }

    already_installed(&operator, &ids).await?;
    decommission(&operator, &ids[0]).await
}

/// What the devices say of themselves can be searched for.
async fn inventory_arrives(operator: &Operator) -> Result<()> {
    let search = json!({ "page": 1, "per_page": 20, "filters": [
        { "scope": "inventory", "attribute": "story", "type": "$eq", "value": "app" },
        { "scope": "identity", "attribute": "status", "type": "$eq", "value": "accepted" },
    ] });
    wait::until("every device's inventory", LIMIT, || async {
        let path = "/api/management/v2/inventory/filters/search";
        let answer = operator.request(Method::POST, path).json(&search).send().await?;
        let found: Value = expect(answer, StatusCode::OK).await?.json().await?;
        Ok((found.as_array().map(Vec::len) == Some(DEVICES)).then_some(()))
    })
    .await
}

/// A device that has the release already has nothing to do, and that counts as done.
async fn already_installed(operator: &Operator, ids: &[String]) -> Result<()> {
    let again = operator.deploy("again", "app-v1", ids).await?;
    operator.finished(&again, LIMIT).await?;
    expect_counts(operator, &again, &json!({ "already-installed": ids.len() })).await
}

/// A decommissioned device is gone everywhere.
async fn decommission(operator: &Operator, id: &str) -> Result<()> {
    let device = format!("/api/management/v2/devauth/devices/{id}");
    let answer = operator.request(Method::DELETE, &device).send().await?;
    expect(answer, StatusCode::NO_CONTENT).await?;
    let inventory = format!("/api/management/v1/inventory/devices/{id}");
    for path in [&device, &inventory] {
        wait::until(&format!("{path} to be gone"), LIMIT, || async {
            let answer = operator.request(Method::GET, path).send().await?;
            Ok((answer.status() == StatusCode::NOT_FOUND).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The deployment's statistics hold these numbers, and nothing else but zeros.
pub(super) async fn expect_counts(
    operator: &Operator,
    deployment: &str,
    expected: &Value,
) -> Result<()> {
    let statistics = operator.statistics(deployment).await?;
    let counts = statistics.as_object().map(|counts| {
        counts
            .iter()
            .filter(|(_, number)| **number != 0)
            .map(|(word, number)| (word.clone(), number.clone()))
            .collect::<serde_json::Map<_, _>>()
    });
    let counts = counts.map(Value::Object).unwrap_or_default();
    ensure!(&counts == expected, "statistics {counts} instead of {expected}");
    Ok(())
}
