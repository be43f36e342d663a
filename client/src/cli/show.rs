//! `show-artifact`, `show-provides` and `status`.

use rota_client::{
    journal::Store,
    machine::{DeploymentId, Health, Owed, Update},
    owed::{OwedReport, OwedReports},
    records::{LastUpdate, Records},
};
use serde_json::{Value, json};

use super::{
    Device, Exit,
    presence::{self, Seen},
    say,
};

/// For whom the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// For people, and for scripts written for Mender's client.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

pub(super) fn artifact(device: &mut Device, format: Format) -> anyhow::Result<Exit> {
    let name = device.prepare()?.artifact_name;
    match format {
        Format::Text => say(&name),
        Format::Json => say_json(&json!({ "artifact_name": name })),
    }
    Ok(Exit::Success)
}

pub(super) fn provides(device: &mut Device, format: Format) -> anyhow::Result<Exit> {
    let all = device.prepare()?.all_provides();
    match format {
        Format::Text => {
            for (key, value) in all {
                say(&format!("{key}={value}"));
            }
        }
        Format::Json => say_json(&json!(all)),
    }
    Ok(Exit::Success)
}

/// What is installed, what is under way, how the last update ended, and what the server has not
/// heard yet.
pub(super) fn status(device: &mut Device, format: Format) -> anyhow::Result<Exit> {
    device.prepare()?;
    let records = device.store.read()?;
    let daemon = presence::look(&device.paths.daemon_lock());
    let next_contact = daemon.and_then(|daemon| daemon.next_contact);
    let interval = device.settings.update_poll_interval.as_secs();
    match format {
        Format::Json => say_json(&json!({
            "artifact_name": records.software().artifact_name,
            "provides": records.software().all_provides(),
            "update": records.update.as_ref().map(update_json),
            "last_update": records.last_update.as_ref().map(last_json),
            "owed_reports": records.owed.iter().map(owed_json).collect::<Vec<_>>(),
            "daemon_pid": daemon.map(|daemon| daemon.pid.as_raw_nonzero().get()),
            "next_contact_seconds": next_contact.map(|pause| pause.as_secs()),
            "servers": device.settings.servers,
            "update_poll_interval_seconds": interval,
        })),
        Format::Text => say(&status_text(&records, daemon)),
    }
    Ok(Exit::Success)
}

fn status_text(records: &Records, daemon: Option<Seen>) -> String {
    let update = match &records.update {
        None => "none".to_owned(),
        Some(update) => {
            let name = update.artifact.as_ref().map_or("not read yet", |artifact| &artifact.name);
            format!("{name}, {}, at {}", origin(update), stage(update))
        }
    };
    let last = match &records.last_update {
        None => "none".to_owned(),
        Some(last) => {
            let name = last.artifact_name.as_deref().unwrap_or("never read");
            format!("{name}, {}", outcome(last.health))
        }
    };
    let daemon = match daemon {
        None => "not running".to_owned(),
        Some(Seen { next_contact: None, .. }) => "running, at work".to_owned(),
        Some(Seen { next_contact: Some(pause), .. }) => {
            format!("running; turns to the server in {} s", pause.as_secs())
        }
    };
    let installed = records.software().artifact_name;
    format!(
        "Installed:   {installed}\nIn progress: {update}\nLast update: {last}\n{}Daemon:      {daemon}",
        owed_text(&records.owed)
    )
}

/// A line for each deployment of which the server has not heard all; mostly there is none.
fn owed_text(reports: &OwedReports) -> String {
    let line = |report: &OwedReport| {
        format!("Not told:    {} of deployment {}\n", owed(report.owed), report.deployment_id)
    };
    reports.iter().map(line).collect()
}

fn owed_json(report: &OwedReport) -> Value {
    json!({ "deployment_id": report.deployment_id.as_str(), "owed": owed(report.owed) })
}

fn owed(owed: Owed) -> &'static str {
    match owed {
        Owed::Success => "success",
        Owed::Failure => "failure",
        Owed::Log => "log",
    }
}

fn update_json(update: &Update) -> Value {
    json!({
        "deployment_id": update.deployment().map(|deployment| deployment.id.as_str()),
        "artifact_name": update.artifact.as_ref().map(|artifact| &artifact.name),
        "stage": stage(update),
        "failed": update.health.is_failure(),
    })
}

fn last_json(last: &LastUpdate) -> Value {
    json!({
        "deployment_id": last.deployment_id.as_ref().map(DeploymentId::as_str),
        "artifact_name": last.artifact_name,
        "outcome": outcome(last.health),
    })
}

fn origin(update: &Update) -> String {
    match update.deployment() {
        Some(deployment) => format!("deployment {}", deployment.id),
        None => "by hand".to_owned(),
    }
}

/// The stage's word in the journal.
fn stage(update: &Update) -> String {
    match serde_json::to_value(update.stage) {
        Ok(Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

fn outcome(health: Health) -> &'static str {
    match health {
        Health::Good => "success",
        Health::RolledBack => "failure; the previous software is in place",
        Health::Failed | Health::RollbackFailed => "failure that could not be undone",
    }
}

fn say_json(value: &Value) {
    say(&format!("{value:#}"));
}
