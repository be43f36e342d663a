//! The daemon as devices run it, from its first request to the end of a deployment.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{
    device::{Device, artifact},
    fake_server::{FakeServer, Request, Response},
};

/// A server with at most one deployment, which it offers until the device reports its end.
#[derive(Clone, Default)]
pub(crate) struct Rota(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    url: String,
    artifact: Option<Vec<u8>>,
    is_over: bool,
    /// Answer polls with 429 so many times.
    busy: u32,
}

impl Rota {
    pub(crate) fn start(&self) -> FakeServer {
        let rota = self.clone();
        let server = FakeServer::start(move |request| rota.answer(request));
        self.0.lock().unwrap().url = server.url();
        server
    }

    fn deploy(&self, content: &str) {
        self.deploy_bytes(artifact("new", content));
    }

    pub(crate) fn deploy_bytes(&self, artifact: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        state.artifact = Some(artifact);
        state.is_over = false;
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.0.lock().unwrap();
        let path = request.path.as_str();
        if path.ends_with("/auth_requests") {
            return Response::new(200, "token");
        }
        if path == "/artifact" {
            return Response::new(200, state.artifact.clone().unwrap_or_default());
        }
        if request.header("authorization") != Some("Bearer token") {
            return Response::empty(401);
        }
        if path.ends_with("/deployments/next") {
            if state.busy > 0 {
                state.busy -= 1;
                return Response::empty(429).header("Retry-After", "1");
            }
            if state.artifact.is_none() || state.is_over {
                return Response::empty(204);
            }
            let uri = format!("{}/artifact", state.url);
            let body = json!({"id": "d1", "artifact": {"source": {"uri": uri}}});
            return Response::new(200, body.to_string());
        }
        if path.ends_with("/status") {
            let status = request.json()["status"].clone();
            state.is_over = status == "success" || status == "failure";
        }
        Response::empty(204)
    }
}

pub(crate) fn statuses(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .filter(|request| request.path.ends_with("/status"))
        .map(|request| request.json()["status"].as_str().unwrap_or_default().to_owned())
        .collect()
}

pub(crate) fn has_status(requests: &[Request], status: &str) -> bool {
    statuses(requests).iter().any(|s| s == status)
}

fn inventories(requests: &[Request]) -> Vec<Value> {
    let is_inventory = |request: &&Request| request.path.ends_with("/attributes");
    requests.iter().filter(is_inventory).map(Request::json).collect()
}

#[test]
fn a_deployment_is_installed_and_reported() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy("new content");
    let device = Device::with_server(&server.url());
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));

    let expected = ["downloading", "installing", "installing", "success"];
    assert_eq!(statuses(&server.requests()), expected);
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    server.wait_until("a poll with the new name", |requests| {
        requests.iter().any(|request| {
            request.path.ends_with("/next")
                && request.json()["device_provides"]["artifact_name"] == "new"
        })
    });
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new\n");
    let color = json!({"name": "color", "value": "blue"});
    assert!(inventories(&server.requests())[0].as_array().unwrap().contains(&color));
    daemon.stop();
    assert!(!server.lines().iter().any(|line| line.ends_with("/log")));
}

#[test]
fn a_deployment_that_fails_is_rolled_back_and_explained() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy("new content");
    let device = Device::with_server(&server.url());
    device.write("installed", "old content");
    device.write("fail-ArtifactCommit", "");
    let daemon = device.start_daemon();
    let is_log = |request: &Request| request.path.ends_with("/d1/log");
    server.wait_until("the log", |requests| requests.iter().any(is_log));

    let expected = ["downloading", "installing", "installing", "failure"];
    assert_eq!(statuses(&server.requests()), expected);
    assert_eq!(device.read("installed").as_deref(), Some("old content"));
    assert_eq!(device.run(&["show-artifact"]).stdout(), "unknown\n");
    let log = server.requests().into_iter().find(is_log).unwrap().json();
    let messages = log["messages"].as_array().unwrap();
    let has = |text: &str| messages.iter().any(|m| m["message"].as_str().unwrap().contains(text));
    assert!(has("this is why"), "{log:#}");
    assert!(has("ArtifactCommit failed"), "{log:#}");
    daemon.stop();
}

#[test]
fn a_client_that_is_killed_while_it_installs_rolls_back_when_it_starts_again() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy("new content");
    let device = Device::with_server(&server.url());
    device.write("installed", "old content");
    device.write("hang-ArtifactInstall", "");
    let daemon = device.start_daemon();
    device.wait_for("hanging");
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    daemon.kill();

    // The module was not killed with it, and would go on once the file is gone.
    let daemon = device.start_daemon();
    server.wait_until("failure", |requests| has_status(requests, "failure"));
    std::fs::remove_file(device.path("hanging")).unwrap();
    assert_eq!(device.read("installed").as_deref(), Some("old content"));
    assert!(device.read("daemon.log").unwrap().contains("left behind by an earlier client"));
    let rollback = ["ArtifactRollback", "NeedsArtifactReboot", "ArtifactFailure", "Cleanup"];
    assert_eq!(device.calls()[device.calls().len() - 4..], rollback);
    daemon.stop();
}

#[test]
fn a_damaged_copy_of_the_journal_is_told_once_and_in_the_log_of_the_deployment() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy("new content");
    let device = Device::with_server(&server.url());
    device.write("hang-ArtifactInstall", "");
    let daemon = device.start_daemon();
    device.wait_for("hanging");
    daemon.kill();
    let journal = device.path("data/rota-journal");
    let mut content = std::fs::read(&journal).unwrap();
    *content.last_mut().unwrap() ^= 1;
    std::fs::write(&journal, content).unwrap();
    let warning = format!("the journal file {} is passed over", journal.display());
    let shown = device.run(&["status"]).stderr();
    assert_eq!(shown.matches(&warning).count(), 1, "{shown}");

    let daemon = device.start_daemon();
    let is_log = |request: &Request| request.path.ends_with("/d1/log");
    server.wait_until("the log, and polls after it", |requests| {
        let after = requests.iter().skip_while(|request| !is_log(request));
        after.filter(|request| request.path.ends_with("/next")).count() >= 2
    });
    daemon.stop();
    assert!(has_status(&server.requests(), "failure"), "how far it was is not known");
    let logged = device.read("daemon.log").unwrap();
    assert_eq!(logged.matches(&warning).count(), 1, "{logged}");
    let line = logged.lines().find(|line| line.contains(&warning)).unwrap();
    assert!(line.contains("warning") && line.contains("what was written last is lost"), "{line}");
    let log = server.requests().into_iter().find(is_log).unwrap().json().to_string();
    assert_eq!(log.matches(&warning).count(), 1, "{log}");
}

#[test]
fn a_client_that_is_killed_after_the_commit_reports_success_when_it_starts_again() {
    let rota = Rota::default();
    let server = rota.start();
    let device = Device::with_server(&server.url());
    rota.deploy_bytes(device.artifact_with_service("new", "new content"));
    device.write("hang-Cleanup", "");
    let daemon = device.start_daemon();
    device.wait_for("hanging");
    daemon.kill();
    std::fs::remove_file(device.path("hang-Cleanup")).unwrap();

    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert!(!has_status(&server.requests(), "failure"));
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    daemon.stop();
    // The module's last call was interrupted, and ended; the installation was not.
    assert!(device.read("daemon.log").unwrap().contains("left behind by an earlier client"));
    assert!(device.end_service());
}

#[test]
fn commands_make_the_daemon_ask_now() {
    let rota = Rota::default();
    let server = rota.start();
    let device = Device::new();
    device.configure(&json!({"ServerURL": server.url()}));
    let daemon = device.start_daemon();
    let polls = |requests: &[Request]| requests.iter().filter(|r| r.path.ends_with("next")).count();
    server.wait_until("the first poll", |requests| polls(requests) == 1);
    server.wait_until("the first inventory", |requests| !inventories(requests).is_empty());

    let asked = device.run(&["check-update"]);
    assert_eq!(asked.code(), Some(0), "{}", asked.stderr());
    server.wait_until("a second poll", |requests| polls(requests) == 2);
    device.add_script("share/inventory/mender-inventory-test", "echo color=red");
    assert_eq!(device.run(&["send-inventory"]).code(), Some(0));
    let red = json!({"name": "color", "value": "red"});
    server.wait_until("a new inventory", |requests| {
        inventories(requests).iter().any(|i| i.as_array().unwrap().contains(&red))
    });

    let second = device.run(&["daemon"]);
    assert_eq!(second.code(), Some(1));
    assert!(second.stderr().contains("another daemon runs"), "{}", second.stderr());
    daemon.stop();
}

#[test]
fn a_busy_server_is_asked_again_later() {
    let rota = Rota::default();
    rota.0.lock().unwrap().busy = 2;
    let server = rota.start();
    rota.deploy("new content");
    let device = Device::with_server(&server.url());
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    daemon.stop();
}

#[test]
fn bootstrap_makes_a_key_and_shows_it_to_the_server() {
    let rota = Rota::default();
    let server = rota.start();
    let device = Device::with_server(&server.url());
    let key = || device.read("data/mender-agent.pem");
    assert_eq!(device.run(&["bootstrap"]).code(), Some(0));
    assert_eq!(server.requests().len(), 1);
    let first = key();
    assert_eq!(device.run(&["bootstrap"]).code(), Some(0));
    assert!(first.is_some() && key() == first);
    assert_eq!(device.run(&["bootstrap", "--forcebootstrap"]).code(), Some(0));
    assert_ne!(key(), first);
}
