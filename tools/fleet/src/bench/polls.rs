//! Empty polls and authentications through the gateway over TLS, against the bare handler.
//!
//! CPU time is what is compared, the server's and its database's together: the load generator
//! runs on the same machine, and a rate would measure that too.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use http::{Request, StatusCode, header};
use rota_fleet::{
    connection::{Body, Gateway, Keep},
    device::{Admission, DEVICE_TYPE, SimulatedDevice},
};
use rota_stack::ReservedPort;
use serde_json::{Value, json};

use crate::{
    bare,
    measure::{self},
    platform::{Platform, ours},
    report::{self, Table, median},
};

/// Devices that are at it at the same time.
const CONCURRENCY: usize = 64;
/// Rounds of which the median is taken.
const ROUNDS: usize = 5;
/// Deployments for other devices of the same tenant.
const DEPLOYMENTS: usize = 100;
/// The seed of this fleet's keys.
const SEED: u64 = 1;

/// What a round of requests cost.
struct Round {
    /// Seconds of CPU a request, the database's included.
    cpu: f64,
    /// The database's share of it.
    database: f64,
    /// Requests a second on the clock.
    rate: f64,
}

/// Measures everything about polls.
pub(crate) async fn measure(table: &mut Table, devices: usize) -> Result<()> {
    let platform = Platform::start().await?;
    report::progress(&format!("letting {devices} devices in"));
    let fleet = Arc::new(admit(&platform, SEED, 0..devices).await?);
    // Jobs that still run would be counted among what polls cost.
    crate::fleet::provisioned(&platform, devices).await?;
    authentications(table, &platform, &fleet).await?;

    let bare = Bare::start(&platform).await?;
    let tokens = Arc::new(bare::tokens(devices)?);
    for (keep, name) in [(Keep::Kept, "kept connection"), (Keep::Fresh, "full handshake")] {
        report::progress(&format!("polling, {name}, no deployment"));
        compare(
            table,
            &platform,
            &fleet,
            &bare,
            &tokens,
            keep,
            &format!("poll, {name}, no deployment"),
        )
        .await?;
    }
    report::progress(&format!("creating {DEPLOYMENTS} deployments for others"));
    deploy_to_others(&platform).await?;
    crate::fleet::provisioned(&platform, devices + DEPLOYMENTS).await?;
    for (keep, name) in [(Keep::Kept, "kept connection"), (Keep::Fresh, "full handshake")] {
        report::progress(&format!("polling, {name}, {DEPLOYMENTS} deployments for others"));
        let what = format!("poll, {name}, {DEPLOYMENTS} deployments");
        compare(table, &platform, &fleet, &bare, &tokens, keep, &what).await?;
    }
    Ok(())
}

/// Lets devices in: preauthorised by the operator, then authenticated by themselves.
pub(crate) async fn admit(
    platform: &Platform,
    seed: u64,
    serials: std::ops::Range<usize>,
) -> Result<Vec<SimulatedDevice>> {
    let next = Arc::new(AtomicUsize::new(serials.start));
    let workers = (0..CONCURRENCY).map(|_| {
        let (gateway, operator) = (platform.gateway.clone(), platform.operator.clone());
        let (next, end) = (Arc::clone(&next), serials.end);
        tokio::spawn(async move {
            let mut line = gateway.line(Keep::Kept);
            let mut admitted = Vec::new();
            loop {
                let serial = next.fetch_add(1, Ordering::Relaxed);
                if serial >= end {
                    return anyhow::Ok(admitted);
                }
                let mut device = SimulatedDevice::new(seed, serial)?;
                operator.preauthorize(&mut line, &device.identity(), &device.public_key()).await?;
                let admission = device.authenticate(&mut line).await?;
                ensure!(admission == Admission::Accepted, "device {serial} was not let in");
                admitted.push(device);
            }
        })
    });
    let mut all = Vec::new();
    for admitted in try_join_all(workers).await? {
        all.extend(admitted?);
    }
    all.sort_by_key(SimulatedDevice::serial);
    Ok(all)
}

/// What one authentication of an accepted device costs.
async fn authentications(
    table: &mut Table,
    platform: &Platform,
    fleet: &Arc<Vec<SimulatedDevice>>,
) -> Result<()> {
    report::progress("authenticating");
    let mut cpu = Vec::new();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let requests = prepared(fleet.len().min(2000), |index| {
            let (body, signature) = fleet[index].authentication();
            Ok(Request::post("/api/devices/v1/authentication/auth_requests")
                .header(header::CONTENT_TYPE, "application/json")
                .header("X-MEN-Signature", signature)
                .body(Body::from(body))?)
        })?;
        let round =
            round(platform, &platform.gateway, requests, Keep::Kept, StatusCode::OK).await?;
        cpu.push(round.cpu * 1e6);
        rates.push(round.rate);
    }
    table.absolute("authentication: CPU, database included", median(&mut cpu), "µs");
    table.absolute("authentications", median(&mut rates), "/s");
    Ok(())
}

async fn compare(
    table: &mut Table,
    platform: &Platform,
    fleet: &Arc<Vec<SimulatedDevice>>,
    bare: &Bare,
    tokens: &Arc<Vec<String>>,
    keep: Keep,
    what: &str,
) -> Result<()> {
    let (mut ours, mut database, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rates, mut other_rates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let requests = prepared(fleet.len(), |index| fleet[index].poll_request("release-0"))?;
        let cost =
            round(platform, &platform.gateway, requests, keep, StatusCode::NO_CONTENT).await?;
        ours.push(cost.cpu * 1e6);
        database.push(cost.database * 1e6);
        rates.push(cost.rate);
        let requests = prepared(tokens.len(), |index| bare_request(&tokens[index]))?;
        let cost = bare.round(requests, keep).await?;
        others.push(cost.cpu * 1e6);
        other_rates.push(cost.rate);
    }
    table.share(&format!("{what}: of bare"), median(&mut ours), median(&mut others), "µs CPU");
    table.absolute(&format!("{what}: database's share"), median(&mut database), "µs");
    table.ratio(
        &format!("{what}: rate"),
        median(&mut rates),
        median(&mut other_rates),
        "/s",
        "bare",
    );
    Ok(())
}

fn prepared(
    count: usize,
    request: impl Fn(usize) -> Result<Request<Body>>,
) -> Result<Vec<Request<Body>>> {
    (0..count).map(request).collect()
}

async fn round(
    platform: &Platform,
    gateway: &Gateway,
    requests: Vec<Request<Body>>,
    keep: Keep,
    expected: StatusCode,
) -> Result<Round> {
    let count = requests.len();
    let (server, database) = platform.cpu()?;
    let elapsed = send_all(gateway, requests, keep, expected).await?;
    let (server_after, database_after) = platform.cpu()?;
    let database = database_after - database;
    Ok(per_request(server_after - server + database, database, elapsed, count))
}

#[expect(clippy::cast_precision_loss, reason = "a measurement")]
fn per_request(cpu: f64, database: f64, elapsed: Duration, count: usize) -> Round {
    let count = count as f64;
    Round { cpu: cpu / count, database: database / count, rate: count / elapsed.as_secs_f64() }
}

/// Sends every request once, several at a time; how long it took.
async fn send_all(
    gateway: &Gateway,
    mut requests: Vec<Request<Body>>,
    keep: Keep,
    expected: StatusCode,
) -> Result<Duration> {
    let share = requests.len().div_ceil(CONCURRENCY);
    let began = Instant::now();
    let mut workers = Vec::new();
    while !requests.is_empty() {
        let batch = requests.split_off(requests.len().saturating_sub(share));
        let mut line = gateway.line(keep);
        workers.push(tokio::spawn(async move {
            for request in batch {
                let (status, answer) = line.send(request).await?;
                ensure!(status == expected, "answered {status}: {answer:?}");
            }
            anyhow::Ok(())
        }));
    }
    for outcome in try_join_all(workers).await? {
        outcome?;
    }
    Ok(began.elapsed())
}

/// Creates deployments for devices that are not in the polling fleet.
async fn deploy_to_others(platform: &Platform) -> Result<()> {
    let mut line = platform.line();
    let release = crate::fleet::upload_release(platform, "others").await?;
    let others = admit(platform, SEED + 1, 1_000_000..1_000_000 + DEPLOYMENTS).await?;
    drop(others);
    let path = "/api/management/v2/devauth/devices?status=accepted&per_page=500&page=";
    let mut ids = Vec::new();
    for page in 1.. {
        let listed = platform.operator.get(&mut line, &format!("{path}{page}")).await?;
        let listed = listed.as_array().context("no list")?.clone();
        let other = |device: &&Value| {
            let serial = device["identity_data"]["serial"].as_str().unwrap_or_default();
            serial.parse::<usize>().is_ok_and(|serial| serial >= 1_000_000)
        };
        ids.extend(listed.iter().filter(other).map(|device| device["id"].clone()));
        if listed.len() < 500 {
            break;
        }
    }
    ensure!(ids.len() == DEPLOYMENTS, "{} other devices instead of {DEPLOYMENTS}", ids.len());
    for (index, id) in ids.into_iter().enumerate() {
        let body = json!({
            "name": format!("others-{index}"), "artifact_name": release, "devices": [id],
        });
        platform.operator.deploy(&mut line, &body).await?;
    }
    Ok(())
}

/// The same poll with a token that the bare handler knows.
fn bare_request(token: &str) -> Result<Request<Body>> {
    let body = json!({
        "device_provides": { "device_type": DEVICE_TYPE, "artifact_name": "release-0" },
    });
    Ok(Request::post("/api/devices/v2/deployments/device/deployments/next")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::from(body.to_string().into_bytes()))?)
}

/// The bare handler, as a process of its own.
struct Bare {
    gateway: Gateway,
    process: Child,
    _port: ReservedPort,
}

impl Bare {
    async fn start(platform: &Platform) -> Result<Self> {
        let port = ReservedPort::take()?;
        let address = port.address();
        let process = Command::new(ours("rota-bench")?)
            .args(["bare", "--listen", &address.to_string(), "--certificate"])
            .arg(&platform.certificate)
            .arg("--key")
            .arg(&platform.key)
            .stdin(Stdio::null())
            .spawn()?;
        let gateway = Gateway::new(address, "localhost", &platform.certificate)?;
        let bare = Self { gateway, process, _port: port };
        let end = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(address).await.is_err() {
            ensure!(Instant::now() < end, "the bare handler does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bare)
    }

    async fn round(&self, requests: Vec<Request<Body>>, keep: Keep) -> Result<Round> {
        let count = requests.len();
        let before = measure::cpu_of_tree(self.process.id())?;
        let elapsed = send_all(&self.gateway, requests, keep, StatusCode::NO_CONTENT).await?;
        let cpu = measure::cpu_of_tree(self.process.id())? - before;
        Ok(per_request(cpu, 0.0, elapsed, count))
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
