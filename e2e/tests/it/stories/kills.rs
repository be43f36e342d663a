//! Kills: every kind of process dies (-9) again and again while the main job goes on, and
//! nothing is lost or doubled.

use std::{
    collections::HashSet,
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use reqwest::StatusCode;
use rota_e2e::{
    artifact::{self, Health},
    device::Device,
    operator::{Operator, location},
    platform::{Part, Platform},
    wait,
};
use serde_json::{Value, json};

use super::{Stage, main_job::expect_counts};

/// Kills in all.
const KILLS: usize = 50;
/// How long each step may take while processes die.
const LIMIT: Duration = Duration::from_mins(2);
const DEVICES: usize = 3;

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let seed = seed()?;
    writeln!(std::io::stdout(), "kills: seed {seed}; ROTA_SEED={seed} repeats it")?;
    let operator = stage.platform.operator().await?;
    let operators: Vec<Operator> =
        stage.platform.gateways().iter().map(|gateway| operator.at(gateway)).collect();
    let killed = AtomicUsize::new(0);
    let homes: Vec<_> = (0..DEVICES).map(|serial| stage.platform.home(serial)).collect();
    let mut devices = Vec::new();
    for (serial, home) in homes.iter().enumerate() {
        let folder = stage.folder.join(format!("device-{serial}"));
        devices.push(Device::lay_out(&folder, serial, home)?);
    }
    let story = main_job(&operators, &mut devices, stage.folder, &killed);
    tokio::select! {
        told = story => told?,
        ended = kill_at_random(stage.platform, seed, &killed) => ended?,
    }
    ensure!(killed.load(Ordering::Relaxed) >= KILLS, "the story ended before its kills");
    // Whoever was dead at the end is not needed for what must hold now.
    Ok(())
}

fn seed() -> Result<u64> {
    match std::env::var("ROTA_SEED") {
        Ok(text) => text.parse().context("ROTA_SEED must be a number"),
        Err(_) => Ok(rand::rng().random()),
    }
}

/// Kills and restarts one process after the other; never ends by itself.
async fn kill_at_random(platform: &mut Platform, seed: u64, killed: &AtomicUsize) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed);
    loop {
        // Every kind in turn, so that none is spared by chance.
        for part in Part::SEPARATE {
            // These two pauses are the random points themselves, not waits for something.
            tokio::time::sleep(Duration::from_millis(random.random_range(50..900))).await;
            let index = random.random_range(0..platform.replicas(part));
            platform.kill(part, index)?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
            platform.restart(part, index)?;
            killed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Accepts, then uploads, deploys and waits for reports until there were enough kills.
async fn main_job(
    operators: &[Operator],
    devices: &mut [Device],
    folder: &std::path::Path,
    killed: &AtomicUsize,
) -> Result<()> {
    for device in devices.iter_mut() {
        device.switch_on()?;
    }
    let ids = accept(operators).await?;
    provisioned(operators).await?;
    let mut round = 0;
    while killed.load(Ordering::Relaxed) < KILLS {
        round += 1;
        let name = format!("app-{round}");
        let file = artifact::build_app(folder, &name, &format!("v{round}"), Health::Sound)?;
        upload(operators, &file, &name).await?;
        let deployment = deploy(operators, &name, &ids).await?;
        wait::until(&format!("{name} everywhere"), LIMIT, || async {
            let status = any(operators).deployment_status(&deployment).await?;
            Ok((status == "finished").then_some(()))
        })
        .await?;
        let all = json!({ "success": DEVICES });
        steady(|| expect_counts(any(operators), &deployment, &all)).await?;
        for device in devices.iter() {
            ensure!(device.version()? == format!("v{round}"), "{} on a disk", device.version()?);
        }
    }
    once_each(operators, round).await
}

/// One of the gateways, another at each call.
fn any(operators: &[Operator]) -> &Operator {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    &operators[TURN.fetch_add(1, Ordering::Relaxed) % operators.len()]
}

/// Repeats what may fail because someone just died.
async fn steady<T, Fut: Future<Output = Result<T>>>(mut ask: impl FnMut() -> Fut) -> Result<T> {
    wait::until("an answer", LIMIT, || {
        let asked = ask();
        async { asked.await.map(Some) }
    })
    .await
}

async fn accept(operators: &[Operator]) -> Result<Vec<String>> {
    wait::until("every device accepted", LIMIT, || async {
        let operator = any(operators);
        for device in operator.devices("pending").await? {
            let (auth_set, _) = device.auth_sets.first().context("no auth set")?;
            operator.set_status(&device.id, auth_set, "accepted").await?;
        }
        let accepted = operator.devices("accepted").await?;
        let ids: Vec<String> = accepted.into_iter().map(|device| device.id).collect();
        ensure!(ids.len() <= DEVICES, "{} devices instead of {DEVICES}", ids.len());
        Ok((ids.len() == DEVICES).then_some(ids))
    })
    .await
}

/// Inventory knows each device once, as accepted.
async fn provisioned(operators: &[Operator]) -> Result<()> {
    wait::until("every device provisioned", LIMIT, || async {
        let listed = any(operators)
            .get("/api/management/v1/inventory/devices?identity/status=accepted&per_page=500")
            .await?;
        Ok((listed.as_array().map(Vec::len) == Some(DEVICES)).then_some(()))
    })
    .await
}

/// Uploads once: an answer that was lost is found out by asking again.
async fn upload(operators: &[Operator], file: &std::path::Path, name: &str) -> Result<()> {
    wait::until(&format!("{name} uploaded"), LIMIT, || async {
        let answer = any(operators).try_upload(file).await?;
        match answer.status() {
            // The conflict is with ourselves, when the first answer was lost.
            StatusCode::CREATED | StatusCode::CONFLICT => Ok(Some(())),
            other => bail!("the upload answered {other}: {}", answer.text().await?),
        }
    })
    .await?;
    let path = format!("/api/management/v2/deployments/artifacts?name={name}");
    let listed = steady(|| any(operators).get(&path)).await?;
    ensure!(listed.as_array().map(Vec::len) == Some(1), "{name} is there as {listed}");
    Ok(())
}

/// Deploys once: whether an answer that was lost meant yes is looked up before trying again.
async fn deploy(operators: &[Operator], name: &str, ids: &[String]) -> Result<String> {
    let body = json!({ "name": name, "artifact_name": name, "devices": ids });
    let path = "/api/management/v1/deployments/deployments";
    wait::until(&format!("{name} deployed"), LIMIT, || async {
        if let Some(id) = named(operators, name).await?.pop() {
            return Ok(Some(id));
        }
        let request = any(operators).request(reqwest::Method::POST, path).json(&body);
        let answer = request.send().await?;
        match answer.status() {
            StatusCode::CREATED => Ok(Some(location(&answer)?)),
            other => bail!("the deployment answered {other}: {}", answer.text().await?),
        }
    })
    .await
}

/// The ids of the deployments of this name.
async fn named(operators: &[Operator], name: &str) -> Result<Vec<String>> {
    let listed =
        any(operators).get("/api/management/v1/deployments/deployments?per_page=500").await?;
    let deployments = listed.as_array().context("no list")?;
    let ids = deployments.iter().filter(|deployment| deployment["name"] == name);
    Ok(ids.filter_map(|deployment| deployment["id"].as_str().map(str::to_owned)).collect())
}

/// Every round has left one release; every device is known once.
async fn once_each(operators: &[Operator], rounds: usize) -> Result<()> {
    let path = "/api/management/v2/deployments/deployments/releases?per_page=500";
    let releases: Value = steady(|| any(operators).get(path)).await?;
    let names: Vec<&str> =
        releases.as_array().into_iter().flatten().filter_map(|r| r["name"].as_str()).collect();
    let distinct: HashSet<&&str> = names.iter().collect();
    ensure!(names.len() == rounds && distinct.len() == rounds, "releases {names:?}");
    for round in 1..=rounds {
        let name = format!("app-{round}");
        let deployments = steady(|| named(operators, &name)).await?;
        ensure!(deployments.len() == 1, "{} deployments of {name}", deployments.len());
    }
    Ok(())
}
