//! Other people's programs against ours: Debian's `mender` (3.4), `mender-cli` (1.9) and
//! `mender-artifact` (3.9), and curl, each used as its own manual says.
//!
//! Which Artifacts of `rota-artifact` the program `mender-artifact` reads, and the reverse, is
//! tested where the format lives: `tools/artifact/tests/it/interop.rs`.

mod keys;
mod mender_cli;
mod mender_client;
mod mender_device;
mod moving;
mod resumed_download;
mod signatures;
mod single_file;
mod takeover;

use std::time::Duration;

use anyhow::{Context, Result};
use rota_e2e::{operator::Operator, wait};

/// How long a device may take for one thing: these poll every second.
const LIMIT: Duration = Duration::from_secs(45);

/// Deploys a release to one device; gives the deployment's id and the status that the device
/// ended with.
async fn outcome(operator: &Operator, release: &str, device: &str) -> Result<(String, String)> {
    let deployment = operator.deploy(release, release, &[device.to_owned()]).await?;
    operator.finished(&deployment, LIMIT).await?;
    let statuses = operator.device_statuses(&deployment).await?;
    let (_, status) = statuses.into_iter().next().context("a deployment without a device")?;
    Ok((deployment, status))
}

/// The log that a device sent for a deployment. It comes after the final status.
async fn log(operator: &Operator, deployment: &str, device: &str) -> Result<String> {
    wait::until("the deployment's log", LIMIT, || async {
        operator.log(deployment, device).await.map(Some)
    })
    .await
}
