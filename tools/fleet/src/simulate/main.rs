//! `rota-fleet`: devices that exist on paper only, against a real server.
//!
//! Each authenticates, sends its inventory, polls, and reports an update as done without doing
//! it: for trying a server, a rollout or a console with more devices than one has.

use std::{
    io::Write,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use futures::future::join_all;
use rand::RngExt;
use rota_fleet::{
    connection::{Gateway, Keep, Line},
    device::{Admission, SimulatedDevice},
};

/// Run simulated devices against a server until interrupted
#[derive(Debug, Parser)]
#[command(name = "rota-fleet", version)]
struct Settings {
    /// The gateway, as host:port
    #[arg(long, env = "ROTA_GATEWAY", default_value = "localhost:8443")]
    gateway: String,
    /// The certificate to trust (PEM)
    #[arg(long, env = "ROTA_CERTIFICATE")]
    certificate: PathBuf,
    /// How many devices
    #[arg(long, default_value_t = 100)]
    devices: usize,
    /// Another seed is another fleet
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Seconds between polls
    #[arg(long, default_value_t = 30)]
    poll_seconds: u64,
    /// Attributes that each device sends
    #[arg(long, default_value_t = 10)]
    attributes: usize,
    /// Updates that fail, in percent
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    failing_percent: u8,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime
        .context("cannot start threads")
        .and_then(|runtime| runtime.block_on(run(Arc::new(settings))));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(settings: Arc<Settings>) -> Result<()> {
    let (host, _) = settings.gateway.rsplit_once(':').context("--gateway must be host:port")?;
    let address: SocketAddr = settings
        .gateway
        .to_socket_addrs()
        .with_context(|| format!("cannot look up {}", settings.gateway))?
        .next()
        .with_context(|| format!("{} has no address", settings.gateway))?;
    let gateway = Gateway::new(address, host, &settings.certificate)?;
    let devices = (0..settings.devices).map(|serial| {
        let (settings, gateway) = (Arc::clone(&settings), gateway.clone());
        tokio::spawn(async move { live(&settings, &gateway, serial).await })
    });
    for outcome in join_all(devices).await {
        outcome??;
    }
    Ok(())
}

/// One device's life; what goes wrong on the way is said and tried again.
async fn live(settings: &Settings, gateway: &Gateway, serial: usize) -> Result<()> {
    let mut device = SimulatedDevice::new(settings.seed, serial)?;
    let mut line = gateway.line(Keep::Fresh);
    let mut release = "none".to_owned();
    loop {
        if let Err(error) = turn(settings, &mut device, &mut line, &mut release).await {
            complain(&error.context(format!("device {serial}")));
        }
        // Not all at once: each waits between half and one and a half times the interval.
        let interval = Duration::from_secs(settings.poll_seconds.max(1));
        let share = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(interval.mul_f64(share)).await;
    }
}

async fn turn(
    settings: &Settings,
    device: &mut SimulatedDevice,
    line: &mut Line,
    release: &mut String,
) -> Result<()> {
    if device.token().is_none() {
        if device.authenticate(line).await? == Admission::Waiting {
            return Ok(());
        }
        device.send_inventory(line, settings.attributes).await?;
    }
    let polled = device.poll(line, release).await;
    if polled.is_err() {
        // Whatever it was, a new token is the first thing a real device tries.
        device.forget_token();
    }
    let Some(instructions) = polled? else { return Ok(()) };
    let id = instructions["id"].as_str().context("instructions without an id")?;
    for word in ["downloading", "installing"] {
        device.report(line, id, word).await?;
    }
    let fails = rand::rng().random_range(0..100) < settings.failing_percent;
    if fails {
        return device.report(line, id, "failure").await;
    }
    device.report(line, id, "success").await?;
    let name = instructions["artifact"]["artifact_name"].as_str();
    name.context("instructions without a name")?.clone_into(release);
    Ok(())
}

fn complain(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "rota-fleet: {error:#}");
}
