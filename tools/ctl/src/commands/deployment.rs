//! Deployments: create, list, show, watch, control, log, abort.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use reqwest::Method;
use rota_rest::deployments::{Deployment, DeviceDeployment, NewControlMap, NewDeployment, Status};
use serde_json::json;

use super::control_map;
use crate::{
    api::{self, Api, ApiError},
    cli::{self, Create, Format},
    failure,
    output::{self, Table},
};

const DEPLOYMENTS: &str = "/api/management/v1/deployments/deployments";

/// How often a watched deployment is asked about.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Carries out a command on deployments.
pub(super) async fn run(format: Format, api: &Api, command: cli::Deployment) -> Result<ExitCode> {
    match command {
        cli::Deployment::Create(create) => return self::create(format, api, create).await,
        cli::Deployment::Watch { id } => return watch(format, api, &id).await,
        cli::Deployment::List => {
            let deployments: Vec<Deployment> = api.list(DEPLOYMENTS).await?;
            output::result(format, &deployments, &table(&deployments))?;
        }
        cli::Deployment::Show { id } => {
            let deployment: Deployment = api.get(&format!("{DEPLOYMENTS}/{id}")).await?;
            let devices = devices(api, &id).await?;
            let value = json!({ "deployment": deployment, "devices": devices });
            output::result(format, &value, &device_table(&devices))?;
        }
        cli::Deployment::Log { id, device } => {
            let path = format!("{DEPLOYMENTS}/{id}/devices/{device}/log");
            let text = api.send(api.request(Method::GET, &path)).await?.text().await?;
            match format {
                Format::Text => {
                    let lines = text.lines().map(|line| output::printable(line) + "\n");
                    output::data(&lines.collect::<String>())?;
                }
                Format::Json => output::json(&json!({ "log": text }))?,
            }
        }
        cli::Deployment::Control { id, change } => {
            let body = NewControlMap { update_control_map: Some(control_map::changed(&change)?) };
            api.send_json(Method::PATCH, &format!("{DEPLOYMENTS}/{id}"), &body).await?;
            let sentence = "Replaced the control map; devices that wait hear of it when they ask.";
            output::done(format, &json!({ "controlled": id }), sentence)?;
        }
        cli::Deployment::Abort { id } => {
            let path = format!("{DEPLOYMENTS}/{id}/status");
            api.send_json(Method::PUT, &path, &json!({ "status": "aborted" })).await?;
            output::done(format, &json!({ "aborted": id }), "Aborted.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(format: Format, api: &Api, create: Create) -> Result<ExitCode> {
    let update_control_map = control_map::of_new(&create)?;
    let body = NewDeployment {
        update_control_map,
        name: create.name.unwrap_or_else(|| create.release.clone()),
        artifact_name: create.release,
        devices: create.target.devices,
        all_devices: create.target.all,
        force_installation: create.force,
        ..NewDeployment::default()
    };
    let path = match &create.target.group {
        Some(group) => format!("{DEPLOYMENTS}/group/{group}"),
        None => DEPLOYMENTS.to_owned(),
    };
    let id = api::created(&api.send_json(Method::POST, &path, &body).await?)?;
    output::done(format, &json!({ "id": id }), &format!("Created deployment {id}."))?;
    if create.watch { watch(format, api, &id).await } else { Ok(ExitCode::SUCCESS) }
}

/// Follows a deployment: a bar with counts on a terminal, a JSON line for each change otherwise.
async fn watch(format: Format, api: &Api, id: &str) -> Result<ExitCode> {
    let bar = MultiProgress::new().add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} finished  {msg}") {
        bar.set_style(style);
    }
    let mut last = None;
    let finished = loop {
        let deployment: Deployment = match api.get(&format!("{DEPLOYMENTS}/{id}")).await {
            Ok(deployment) => deployment,
            Err(error) => {
                // A server that restarts or asks for patience does not end the watching.
                let Some(ApiError::Busy { .. } | ApiError::Unreachable { .. }) =
                    error.downcast_ref()
                else {
                    return Err(error);
                };
                tokio::time::sleep(WATCH_INTERVAL).await;
                continue;
            }
        };
        let counts = deployment.statistics.status.clone();
        if last.as_ref() != Some(&counts) {
            if format == Format::Json {
                output::json(&deployment)?;
            }
            let moved: Vec<String> = counts
                .iter()
                .filter(|(_, number)| **number > 0)
                .map(|(word, number)| format!("{word} {number}"))
                .collect();
            bar.set_length(deployment.max_devices);
            bar.set_position(
                counts.iter().filter(|(word, _)| is_final(word)).map(|(_, n)| n).sum(),
            );
            bar.set_message(moved.join(", "));
            last = Some(counts);
        }
        if deployment.status == Status::Finished {
            break deployment;
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    };
    bar.finish_and_clear();
    if format == Format::Text {
        output::data(&device_table(&devices(api, id).await?).render())?;
    }
    let counts = &finished.statistics.status;
    let good = ["success", "already-installed"];
    let all = counts.iter().all(|(word, number)| *number == 0 || good.contains(&word.as_str()));
    Ok(failure::watched(all))
}

/// The final status words (server API, deployment states).
fn is_final(word: &str) -> bool {
    const FINAL: [&str; 8] = [
        "success",
        "failure",
        "already-installed",
        "noartifact",
        "aborted",
        "decommissioned",
        "artifact_too_big",
        "incompatible_tier",
    ];
    FINAL.contains(&word)
}

async fn devices(api: &Api, id: &str) -> Result<Vec<DeviceDeployment>> {
    api.list(&format!("{DEPLOYMENTS}/{id}/devices/list")).await
}

fn table(deployments: &[Deployment]) -> Table {
    let mut table = Table::new(&["id", "name", "release", "status", "devices", "created"]);
    for deployment in deployments {
        table.row([
            deployment.id.clone(),
            deployment.name.clone(),
            deployment.artifact_name.clone(),
            format!("{:?}", deployment.status).to_lowercase(),
            deployment.max_devices.to_string(),
            output::time(deployment.created),
        ]);
    }
    table
}

fn device_table(devices: &[DeviceDeployment]) -> Table {
    let mut table = Table::new(&["device", "status", "substate", "finished", "log"]);
    for device in devices {
        table.row([
            device.id.clone(),
            device.status.clone(),
            device.substate.clone(),
            device.finished.map_or_else(String::new, output::time),
            if device.log { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table
}
