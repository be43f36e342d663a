//! Devices: list, show, accept, reject, decommission.

use anyhow::{Context, Result};
use reqwest::Method;
use rota_rest::devices::{Device, Status};
use serde_json::{Map, Value, json};

use crate::{
    api::Api,
    cli::{self, Chosen, Format},
    output::{self, Table},
};

const DEVICES: &str = "/api/management/v2/devauth/devices";

/// Carries out a command on devices.
pub(super) async fn run(format: Format, api: &Api, command: cli::Device) -> Result<()> {
    match command {
        cli::Device::List { status } => {
            let devices = list(api, status.map(cli::Status::word)).await?;
            output::result(format, &devices, &table(&devices))
        }
        cli::Device::Show { id } => {
            let device: Device = api.get(&format!("{DEVICES}/{id}")).await?;
            output::result(format, &device, &auth_sets(&device))
        }
        cli::Device::Accept(chosen) => {
            set_status(format, api, chosen, Status::Accepted, "accepted").await
        }
        cli::Device::Reject(chosen) => {
            set_status(format, api, chosen, Status::Rejected, "rejected").await
        }
        cli::Device::Decommission { ids } => {
            for id in &ids {
                api.delete(&format!("{DEVICES}/{id}")).await?;
            }
            let sentence = format!("{} on the way out.", count(ids.len()));
            output::done(format, &json!({ "decommissioned": ids }), &sentence)
        }
    }
}

/// Every device, or every device of a status.
async fn list(api: &Api, status: Option<&str>) -> Result<Vec<Device>> {
    match status {
        Some(word) => api.list(&format!("{DEVICES}?status={word}")).await,
        None => api.list(DEVICES).await,
    }
}

/// Sets the status of the newest auth set of each chosen device that has not got it.
async fn set_status(
    format: Format,
    api: &Api,
    chosen: Chosen,
    status: Status,
    word: &str,
) -> Result<()> {
    let devices = if chosen.all_pending {
        list(api, Some("pending")).await?
    } else {
        let mut devices = Vec::new();
        for id in &chosen.ids {
            devices.push(api.get::<Device>(&format!("{DEVICES}/{id}")).await?);
        }
        devices
    };
    let mut changed = Vec::new();
    for device in &devices {
        let newest = device
            .auth_sets
            .iter()
            .filter(|set| set.status != status)
            .max_by_key(|set| set.ts)
            .with_context(|| format!("device {} has no auth set to be {word}", device.id))?;
        let path = format!("{DEVICES}/{}/auth/{}/status", device.id, newest.id);
        api.send_json(Method::PUT, &path, &json!({ "status": word })).await?;
        changed.push(device.id.clone());
    }
    let sentence = format!("{} {word}.", count(changed.len()));
    output::done(format, &json!({ word: changed }), &sentence)
}

fn count(devices: usize) -> String {
    match devices {
        1 => "1 device".to_owned(),
        several => format!("{several} devices"),
    }
}

fn table(devices: &[Device]) -> Table {
    let mut table = Table::new(&["id", "status", "identity", "auth sets", "last seen"]);
    for device in devices {
        table.row([
            device.id.clone(),
            word(device.status),
            identity(&device.identity_data),
            device.auth_sets.len().to_string(),
            device.check_in_time.map_or_else(|| "never".to_owned(), output::time),
        ]);
    }
    table
}

fn auth_sets(device: &Device) -> Table {
    let mut table = Table::new(&["auth set", "status", "identity", "since"]);
    for set in &device.auth_sets {
        table.row([
            set.id.clone(),
            word(set.status),
            identity(&set.identity_data),
            output::time(set.ts),
        ]);
    }
    table
}

fn word(status: Status) -> String {
    format!("{status:?}").to_lowercase()
}

/// `mac=00:11:22, serial=7`.
fn identity(data: &Map<String, Value>) -> String {
    let pairs: Vec<String> = data
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_reads_as_pairs() {
        let Value::Object(data) = json!({ "mac": "a:b", "slots": [1, 2] }) else { unreachable!() };
        assert_eq!(identity(&data), "mac=a:b, slots=[1,2]");
    }
}
