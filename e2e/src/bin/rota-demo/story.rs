//! What happens in the demo, and what must come of it.

use std::{
    collections::HashMap,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    artifact::{self, Health},
    device::Device,
    operator::Operator,
    platform::{Form, Platform},
};

use crate::table::{Row, Table};

/// Devices in the fleet.
const DEVICES: usize = 10;
/// How long each step may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How often the table is looked after.
const INTERVAL: Duration = Duration::from_millis(200);

/// A device, and the id that the server knows it by.
struct Member {
    device: Device,
    serial: usize,
    id: String,
}

/// Tells the whole story, and leaves nothing running however it ends.
pub(crate) async fn tell() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rota-demo").tempdir()?;
    say("starting rota-server with a database of its own")?;
    let platform_folder = folder.path().join("platform");
    std::fs::create_dir(&platform_folder)?;
    let platform = Platform::start(Form::OneProcess, &platform_folder).await?;
    let told = roll_outs(&platform, folder.path()).await;
    platform.stop().await?;
    told
}

async fn roll_outs(platform: &Platform, folder: &Path) -> Result<()> {
    let operator = platform.operator().await?;
    say(&format!("serving {}", operator.base()))?;

    say(&format!("starting {DEVICES} devices and accepting them"))?;
    let mut fleet = switch_on(platform, folder)?;
    operator.accept(DEVICES, LIMIT).await?;
    learn_ids(&operator, &mut fleet).await?;

    let artifacts = folder.join("artifacts");
    std::fs::create_dir(&artifacts)?;
    roll_out(&operator, &artifacts, &fleet, "v1", Health::Sound, |_| "v1").await?;
    roll_out(&operator, &artifacts, &fleet, "v2", Health::Sound, |_| "v2").await?;
    let broken = Health::BrokenOnOddDevices;
    let end = |serial: usize| if serial.is_multiple_of(2) { "v3" } else { "v2" };
    let deployment = roll_out(&operator, &artifacts, &fleet, "v3", broken, end).await?;
    show_failure(&operator, &fleet, &deployment).await?;
    say("all ten devices are where they should be, on disk and on the server")
}

fn switch_on(platform: &Platform, folder: &Path) -> Result<Vec<Member>> {
    (0..DEVICES)
        .map(|serial| {
            let place = folder.join(format!("device-{serial}"));
            let mut device = Device::lay_out(&place, serial, &platform.home(serial))?;
            device.switch_on()?;
            Ok(Member { device, serial, id: String::new() })
        })
        .collect()
}

async fn learn_ids(operator: &Operator, fleet: &mut [Member]) -> Result<()> {
    let listed = operator.devices("accepted").await?;
    for member in fleet {
        let serial = member.serial.to_string();
        let known = listed.iter().find(|device| device.identity["serial"] == serial.as_str());
        let known = known.with_context(|| format!("no accepted device {serial}"))?;
        member.id.clone_from(&known.id);
    }
    Ok(())
}

/// Builds, uploads and deploys a version; gives the deployment's id once every device has ended
/// where `end` says.
async fn roll_out(
    operator: &Operator,
    artifacts: &Path,
    fleet: &[Member],
    version: &'static str,
    health: Health,
    end: impl Fn(usize) -> &'static str,
) -> Result<String> {
    let file = artifact::build_app(artifacts, &format!("app-{version}"), version, health)?;
    operator.upload(&file).await?;
    let ids: Vec<String> = fleet.iter().map(|member| member.id.clone()).collect();
    let name = format!("roll out {version}");
    let deployment = operator.deploy(&name, &format!("app-{version}"), &ids).await?;
    say(&format!("deployed {version} to {} devices", ids.len()))?;

    let mut table = Table::default();
    let stop = Instant::now() + LIMIT;
    loop {
        let rows = rows(operator, fleet, &deployment).await?;
        table.show(rows.clone())?;
        if operator.deployment_status(&deployment).await? == "finished" {
            break;
        }
        ensure!(Instant::now() < stop, "the deployment of {version} did not finish in {LIMIT:?}");
        tokio::time::sleep(INTERVAL).await;
    }
    let rows = rows(operator, fleet, &deployment).await?;
    table.show(rows.clone())?;
    table.settle();
    for (row, member) in rows.iter().zip(fleet) {
        let wanted = end(row.serial);
        let status = if wanted == version { "success" } else { "failure" };
        ensure!(
            row.on_disk == wanted && row.status == status,
            "device {} ended with {} on disk and {:?} on the server, not {wanted} and {status:?}; \
             it printed:\n{}",
            row.serial,
            row.on_disk,
            row.status,
            member.device.printed()?
        );
    }
    Ok(deployment)
}

async fn rows(operator: &Operator, fleet: &[Member], deployment: &str) -> Result<Vec<Row>> {
    let statuses: HashMap<String, String> =
        operator.device_statuses(deployment).await?.into_iter().collect();
    fleet
        .iter()
        .map(|member| {
            Ok(Row {
                serial: member.serial,
                on_disk: member.device.version()?,
                status: statuses.get(&member.id).cloned().unwrap_or_default(),
            })
        })
        .collect()
}

/// Shows why v3 failed, in the words that the device sent.
async fn show_failure(operator: &Operator, fleet: &[Member], deployment: &str) -> Result<()> {
    let failed = fleet.iter().find(|member| member.serial % 2 == 1).context("no odd device")?;
    let log = operator.log(deployment, &failed.id).await?;
    let reason = "cannot run on device";
    ensure!(log.contains(reason), "the log of device {} has no reason:\n{log}", failed.serial);
    say(&format!("why device {} went back to v2, in its own words:", failed.serial))?;
    let mut out = std::io::stdout().lock();
    for line in log.lines().filter(|line| line.contains(reason) || line.contains("ArtifactCommit"))
    {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}

fn say(what: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "demo: {what}")?;
    Ok(out.flush()?)
}
