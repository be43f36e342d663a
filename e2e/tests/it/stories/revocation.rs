//! A device that is rejected at one gateway, or whose tenant is suspended, is refused by every
//! gateway within a second.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::{
    operator::{Operator, text},
    wait,
};
use serde_json::json;

use super::{Stage, paper::PaperDevice};

/// How soon the devices of a tenant that goes on are let in, with room for a busy machine.
const RESUMPTION: Duration = Duration::from_mins(1);

/// How soon a revocation must be known everywhere.
const LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let gateways = stage.platform.gateways().to_vec();
    let provides = json!({ "device_type": "board", "artifact_name": "none" });

    let device = PaperDevice::admitted(&operator, 1).await?;
    for gateway in &gateways {
        let answer = device.poll(gateway, provides.clone()).await?;
        ensure!(answer.status() == StatusCode::NO_CONTENT, "a poll answered {}", answer.status());
    }

    let accepted = operator.devices("accepted").await?;
    let listed = accepted.iter().find(|listed| listed.id == device.id).context("not listed")?;
    let (auth_set, _) = listed.auth_sets.first().context("no auth set")?;
    operator.set_status(&device.id, auth_set, "rejected").await?;
    refused_everywhere(&device, &gateways).await.context("rejected")?;

    // Accepted once more, the old token stays dead and a new one works.
    operator.set_status(&device.id, auth_set, "accepted").await?;
    let mut old = PaperDevice::new(&operator, 1)?;
    old.token.clone_from(&device.token);
    let mut device = device;
    device.sign_in(&gateways[0]).await?;
    for gateway in &gateways {
        let answer = device.poll(gateway, provides.clone()).await?;
        ensure!(answer.status() == StatusCode::NO_CONTENT, "a poll answered {}", answer.status());
        let answer = old.poll(gateway, provides.clone()).await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "the old token lives on");
    }

    let path = format!("/api/management/v2/devauth/devices/{}", device.id);
    let answer = operator.request(Method::DELETE, &path).send().await?;
    ensure!(answer.status() == StatusCode::NO_CONTENT, "decommissioning: {}", answer.status());
    refused_everywhere(&device, &gateways).await.context("decommissioned")?;
    suspension(stage, &operator).await
}

/// The platform's operator suspends the tenant, and lets it go on.
async fn suspension(stage: &Stage<'_>, operator: &Operator) -> Result<()> {
    let Some(command) = stage.platform.accounts_command()? else { return Ok(()) };
    let gateways = stage.platform.gateways();
    let provides = json!({ "device_type": "board", "artifact_name": "none" });
    let own = "/api/management/v1/tenantadm/user/tenant";
    let tenant = text(&operator.get(own).await?, "id")?;
    let device = PaperDevice::admitted(operator, 2).await?;
    let answer = device.poll(&gateways[0], provides.clone()).await?;
    ensure!(answer.status() == StatusCode::NO_CONTENT, "a poll answered {}", answer.status());

    command.clone().argument("suspend-tenant").argument(&tenant).run()?;
    refused_everywhere(&device, gateways).await.context("suspended")?;
    let answer = operator.request(Method::GET, own).send().await?;
    ensure!(answer.status() == StatusCode::UNAUTHORIZED, "its people stayed signed in");

    command.argument("resume-tenant").argument(&tenant).run()?;
    // What a device hears of its tenant may be as old as deviceauth's memory of it.
    wait::until("the device of a resumed tenant to be let in", RESUMPTION, || async {
        let mut renewed = PaperDevice::new(operator, 2)?;
        renewed.sign_in(&gateways[0]).await?;
        let answer = renewed.poll(&gateways[1], provides.clone()).await?;
        Ok((answer.status() == StatusCode::NO_CONTENT).then_some(()))
    })
    .await?;
    // The token from before stays dead.
    refused_everywhere(&device, gateways).await
}

async fn refused_everywhere(device: &PaperDevice, gateways: &[String]) -> Result<()> {
    let began = Instant::now();
    let provides = json!({ "device_type": "board", "artifact_name": "none" });
    for gateway in gateways {
        let left = LIMIT.saturating_sub(began.elapsed());
        wait::until(&format!("{gateway} to refuse the device"), left, || async {
            let status = device.poll(gateway, provides.clone()).await?.status();
            ensure!(status == StatusCode::UNAUTHORIZED, "it answered {status}");
            Ok(Some(()))
        })
        .await?;
    }
    Ok(())
}
