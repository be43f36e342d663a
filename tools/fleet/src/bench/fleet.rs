//! A large fleet: lists, search, one inventory update, and a deployment to all.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use http::{Method, Request, StatusCode, header};
use rota_fleet::{
    connection::{Body, Keep},
    device::{DEVICE_TYPE, SimulatedDevice},
};
use serde_json::{Value, json};

use crate::{
    platform::{Platform, ours},
    polls::admit,
    report::{self, Table, median, milliseconds, percentile},
};

/// Attributes of a device.
const ATTRIBUTES: usize = 30;
/// Times each request is made.
const REPEATS: usize = 100;
/// Devices that send their inventory at the same time.
const CONCURRENCY: usize = 64;
/// How long provisioning the whole fleet may take after its last device was let in.
const PROVISION_LIMIT: Duration = Duration::from_mins(20);
/// The seed of this fleet's keys.
const SEED: u64 = 3;

/// Measures the fleet.
pub(crate) async fn measure(table: &mut Table, devices: usize) -> Result<()> {
    let platform = Platform::start().await?;
    report::progress(&format!("letting {devices} devices in"));
    let fleet = Arc::new(admit(&platform, SEED, 0..devices).await?);
    report::progress("sending their inventory");
    send_inventory(&platform, &fleet).await?;
    report::progress("waiting until all are provisioned");
    provisioned(&platform, devices).await?;

    for (what, method, path, body) in requests(devices) {
        report::progress(&what);
        let mut times = Vec::new();
        let mut line = platform.line();
        for _ in 0..REPEATS {
            let began = Instant::now();
            let (status, answer) =
                platform.operator.send(&mut line, method.clone(), &path, body.as_ref()).await?;
            times.push(milliseconds(began.elapsed()));
            ensure!(status == StatusCode::OK, "{what} answered {status}: {answer}");
        }
        table.absolute(&format!("{what}: median"), median(&mut times), "ms");
        table.absolute(&format!("{what}: p99"), percentile(&mut times, 0.99), "ms");
    }
    inventory_update(table, &platform, &fleet).await?;
    deployment_to_all(table, &platform).await
}

/// Every list's first and last page, and searches of several kinds.
fn requests(devices: usize) -> Vec<(String, Method, String, Option<Value>)> {
    let last = devices.div_ceil(20);
    let list = |what: &str, path: String| (what.to_owned(), Method::GET, path, None);
    let search = |what: &str, body: Value| {
        let path = "/api/management/v2/inventory/filters/search".to_owned();
        (what.to_owned(), Method::POST, path, Some(body))
    };
    let accepted =
        json!({ "scope": "identity", "attribute": "status", "type": "$eq", "value": "accepted" });
    vec![
        list(
            "devauth list, first page",
            "/api/management/v2/devauth/devices?per_page=20".to_owned(),
        ),
        list(
            "devauth list, last page",
            format!("/api/management/v2/devauth/devices?per_page=20&page={last}"),
        ),
        list(
            "inventory list, first page",
            "/api/management/v1/inventory/devices?per_page=20".to_owned(),
        ),
        list(
            "inventory list, last page",
            format!("/api/management/v1/inventory/devices?per_page=20&page={last}"),
        ),
        search(
            "search, accepted, first page",
            json!({ "page": 1, "per_page": 20, "filters": [accepted] }),
        ),
        search(
            "search, accepted, last page",
            json!({ "page": last, "per_page": 20, "filters": [accepted] }),
        ),
        search(
            "search, one rack",
            json!({ "page": 1, "per_page": 20, "filters": [accepted, {
                "scope": "inventory", "attribute": "rack", "type": "$eq", "value": "rack-7",
            }] }),
        ),
        search(
            "search, one host name",
            json!({ "page": 1, "per_page": 20, "filters": [{
                "scope": "inventory", "attribute": "hostname", "type": "$eq",
                "value": "node-00000042",
            }] }),
        ),
        search(
            "search, number range",
            json!({ "page": 1, "per_page": 20, "filters": [{
                "scope": "inventory", "attribute": "temperature", "type": "$gt", "value": 595,
            }] }),
        ),
        search(
            "search, sorted by host name",
            json!({ "page": 1, "per_page": 20, "filters": [accepted],
                "sort": [{ "scope": "inventory", "attribute": "hostname", "order": "asc" }] }),
        ),
        list(
            "attributes for filters",
            "/api/management/v2/inventory/filters/attributes".to_owned(),
        ),
    ]
}

async fn send_inventory(platform: &Platform, fleet: &Arc<Vec<SimulatedDevice>>) -> Result<()> {
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..CONCURRENCY).map(|_| {
        let (gateway, fleet, next) =
            (platform.gateway.clone(), Arc::clone(fleet), Arc::clone(&next));
        tokio::spawn(async move {
            let mut line = gateway.line(Keep::Kept);
            while let Some(device) = fleet.get(next.fetch_add(1, Ordering::Relaxed)) {
                device.send_inventory(&mut line, ATTRIBUTES).await?;
            }
            anyhow::Ok(())
        })
    });
    for outcome in try_join_all(workers).await? {
        outcome?;
    }
    Ok(())
}

/// Waits until inventory knows every device as accepted.
pub(crate) async fn provisioned(platform: &Platform, devices: usize) -> Result<()> {
    let end = Instant::now() + PROVISION_LIMIT;
    let mut line = platform.line();
    loop {
        let path = "/api/management/v2/inventory/statistics";
        let statistics = platform.operator.get(&mut line, path).await?;
        let accepted = &statistics["devices_by_status"]["accepted"]["standard"];
        if accepted.as_u64() == u64::try_from(devices).ok() {
            return Ok(());
        }
        ensure!(Instant::now() < end, "only {accepted} devices were provisioned in time");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn inventory_update(
    table: &mut Table,
    platform: &Platform,
    fleet: &[SimulatedDevice],
) -> Result<()> {
    report::progress("inventory updates");
    let mut line = platform.line();
    let mut times = Vec::new();
    for (round, device) in fleet.iter().take(REPEATS).enumerate() {
        let token = device.token().context("a device without a token")?;
        let body = json!([{ "name": "temperature", "value": 1000 + round }]).to_string();
        let request = Request::patch("/api/devices/v1/inventory/device/attributes")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::from(body.into_bytes()))?;
        let began = Instant::now();
        let (status, _) = line.send(request).await?;
        times.push(milliseconds(began.elapsed()));
        ensure!(status == StatusCode::OK, "the inventory update answered {status}");
    }
    table.absolute("one inventory update: median", median(&mut times), "ms");
    table.absolute("one inventory update: p99", percentile(&mut times, 0.99), "ms");
    Ok(())
}

async fn deployment_to_all(table: &mut Table, platform: &Platform) -> Result<()> {
    report::progress("deploying to all");
    let release = upload_release(platform, "all").await?;
    let mut line = platform.line();
    let body = json!({ "name": "to-all", "artifact_name": release, "all_devices": true });
    let began = Instant::now();
    platform.operator.deploy(&mut line, &body).await?;
    table.absolute("deployment to all: accepted", began.elapsed().as_secs_f64(), "s");
    Ok(())
}

/// Uploads a small release for the simulated device type; gives its name.
pub(crate) async fn upload_release(platform: &Platform, name: &str) -> Result<String> {
    const BOUNDARY: &str = "rota-bench-boundary";
    let payload = platform.folder().join(format!("{name}.payload"));
    let artifact = platform.folder().join(format!("{name}.mender"));
    fs::write(&payload, name)?;
    let status = Command::new(ours("rota-artifact")?)
        .args(["write", "module-image", "--type", "single-file", "--artifact-name", name])
        .args(["--device-type", DEVICE_TYPE, "--file"])
        .arg(&payload)
        .arg("--output-path")
        .arg(&artifact)
        .status()?;
    ensure!(status.success(), "rota-artifact ended with {status}");
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"artifact\"; \
         filename=\"{name}.mender\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend(fs::read(&artifact)?);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    let mut line = platform.line();
    let content = format!("multipart/form-data; boundary={BOUNDARY}");
    platform.operator.upload(&mut line, &content, body).await?;
    Ok(name.to_owned())
}
