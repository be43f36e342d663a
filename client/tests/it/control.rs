//! Updates that wait: for the server's word, and for that of a program on the device.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::{
    device::{Device, artifact},
    fake_server::{FakeServer, Request, Response},
};

/// A server with one deployment, and what it says of it.
#[derive(Clone, Default)]
struct Rota(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    url: String,
    artifact: Vec<u8>,
    /// The deployment's control map; `None`: it has none, or is over.
    map: Option<Value>,
    is_over: bool,
}

impl Rota {
    fn start(map: Option<Value>) -> (Self, FakeServer, Device) {
        let rota = Self::default();
        let answering = rota.clone();
        let server = FakeServer::start(move |request| answering.answer(request));
        {
            let mut state = rota.0.lock().unwrap();
            state.url = server.url();
            state.artifact = artifact("new", "content");
            state.map = map;
        }
        let device = Device::new();
        device.configure(&json!({
            "ServerURL": server.url(),
            "UpdatePollIntervalSeconds": 1,
            "InventoryPollIntervalSeconds": 3600,
            "RetryPollIntervalSeconds": 1,
            // What is renewed is renewed because of a signal.
            "UpdateControlMapExpirationTimeSeconds": 7200,
            "UpdateControlMapPollIntervalSeconds": 3600,
        }));
        (rota, server, device)
    }

    fn say(&self, map: Option<Value>) {
        self.0.lock().unwrap().map = map;
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.0.lock().unwrap();
        let path = request.path.as_str();
        if path.ends_with("/auth_requests") {
            return Response::new(200, "token");
        }
        if path == "/artifact" {
            return Response::new(200, state.artifact.clone());
        }
        if path.ends_with("/deployments/next") {
            if state.is_over {
                return Response::empty(204);
            }
            let uri = format!("{}/artifact", state.url);
            let mut body = json!({"id": "d1", "artifact": {"source": {"uri": uri}}});
            if request.json()["update_control_map"] == true
                && let Some(map) = &state.map
            {
                body["update_control_map"] = map.clone();
            }
            return Response::new(200, body.to_string());
        }
        if path == "/api/devices/v2/deployments/device/deployments/d1/update_control_map" {
            return match &state.map {
                Some(map) => Response::new(200, json!({"update_control_map": map}).to_string()),
                None => Response::empty(404),
            };
        }
        if path.ends_with("/status") {
            let status = request.json()["status"].clone();
            state.is_over = status == "success" || status == "failure";
        }
        Response::empty(204)
    }
}

fn map(point: &str, action: &str) -> Value {
    json!({"id": "d1", "Priority": 0, "States": {point: {"action": action}}})
}

fn statuses(requests: &[Request]) -> Vec<String> {
    let of_status = requests.iter().filter(|request| request.path.ends_with("/status"));
    of_status.map(|request| request.json()["status"].as_str().unwrap().to_owned()).collect()
}

fn wait_for(server: &FakeServer, status: &str) {
    server.wait_until(status, |requests| statuses(requests).iter().any(|said| said == status));
}

#[test]
fn an_operator_holds_an_update_and_lets_it_go() {
    let (rota, server, device) = Rota::start(Some(map("ArtifactCommit_Enter", "pause")));
    let daemon = device.start_daemon();
    wait_for(&server, "pause_before_committing");
    assert_eq!(device.read("installed").as_deref(), Some("content"));
    rota.say(Some(map("ArtifactCommit_Enter", "force_continue")));
    assert_eq!(device.run(&["check-update"]).code(), Some(0));
    wait_for(&server, "success");
    daemon.stop();
    assert_eq!(
        statuses(&server.requests()),
        ["downloading", "installing", "pause_before_committing", "installing", "success"]
    );
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new\n");
}

#[test]
fn an_update_that_waits_hears_that_it_is_aborted() {
    let (rota, server, device) = Rota::start(Some(map("ArtifactCommit_Enter", "pause")));
    let daemon = device.start_daemon();
    wait_for(&server, "pause_before_committing");
    rota.say(None);
    assert_eq!(device.run(&["check-update"]).code(), Some(0));
    wait_for(&server, "failure");
    daemon.stop();
    assert!(device.calls().contains(&"ArtifactRollback".to_owned()));
    assert_eq!(device.run(&["show-artifact"]).stdout(), "unknown\n");
}

#[test]
fn a_map_of_this_device_holds_updates_through_power_cuts() {
    let (_rota, server, device) = Rota::start(None);
    device.write("map.json", &map("ArtifactInstall_Enter", "pause").to_string());
    let file = device.path("map.json");
    let set = ["control-map", "set", file.to_str().unwrap()];
    let answer = device.run(&set);
    assert_eq!(answer.stdout(), "To keep it, set it again within 3600 seconds.\n");
    let daemon = device.start_daemon();
    wait_for(&server, "pause_before_installing");
    daemon.kill();

    let daemon = device.start_daemon();
    let pauses = |requests: &[Request]| {
        statuses(requests).iter().filter(|status| *status == "pause_before_installing").count()
    };
    server.wait_until("the pause after the restart", |requests| pauses(requests) == 2);
    assert!(!device.calls().contains(&"ArtifactInstall".to_owned()));
    let shown = device.run(&["control-map", "show"]).stdout();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["id"], &shown["priority"]), (&json!("d1"), &json!(0)));
    assert!(shown["expires_in_seconds"].as_u64().is_some_and(|left| left > 7000), "{shown}");

    assert_eq!(device.run(&["control-map", "clear"]).code(), Some(0));
    wait_for(&server, "success");
    daemon.stop();
    let calls = device.calls();
    assert_eq!(calls.iter().filter(|call| *call == "Download").count(), 1, "{calls:?}");
}

/// A client that was restarted while the update waits ends no program: what the installation started
/// is the new software.
#[test]
fn the_new_software_runs_on_when_only_the_client_restarts_in_a_pause() {
    let (rota, server, device) = Rota::start(Some(map("ArtifactCommit_Enter", "pause")));
    rota.0.lock().unwrap().artifact = device.artifact_with_service("new", "content");
    let daemon = device.start_daemon();
    wait_for(&server, "pause_before_committing");
    daemon.kill();

    let daemon = device.start_daemon();
    let is_pause = |status: &&String| *status == "pause_before_committing";
    server.wait_until("the pause after the restart", |requests| {
        statuses(requests).iter().filter(is_pause).count() == 2
    });
    rota.say(Some(map("ArtifactCommit_Enter", "force_continue")));
    assert_eq!(device.run(&["check-update"]).code(), Some(0));
    wait_for(&server, "success");
    daemon.stop();
    assert!(device.end_service(), "{:?}", device.read("daemon.log"));
}

#[test]
fn maps_that_are_none_are_refused_with_a_reason() {
    let device = Device::new();
    device
        .write("map.json", r#"{"id": "m", "states": {"ArtifactInstall_Enter": {"action": "x"}}}"#);
    let file = device.path("map.json");
    for (arguments, expected) in [
        (&["control-map", "set", file.to_str().unwrap()][..], "\"x\" is no action"),
        (&["control-map", "set", "/nonexistent"], "cannot open the control map /nonexistent"),
        (&["control-map", "set"], "control-map needs one of"),
        (&["control-map"], "control-map needs one of"),
        (&["control-map", "show", "all"], "Too many arguments: all"),
    ] {
        let ended = device.run(arguments);
        assert_eq!(ended.code(), Some(1), "{arguments:?}");
        assert!(ended.stderr().contains(expected), "{arguments:?}: {}", ended.stderr());
    }
    assert_eq!(device.run(&["control-map", "show"]).stdout(), "");
}
