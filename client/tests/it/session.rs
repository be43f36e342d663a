//! The device API, request by request.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{ED25519, UnparsedPublicKey};
use rota_client::{
    clock::TimeOfDay,
    config::Settings,
    log::{Level, Log},
    machine::{DeploymentId, Status},
    records::Software,
    server::{Authority, Server, ServerError, Session, SessionSettings, Trust},
    wake::Wake,
};
use rota_rest::device::{Attribute, LogMessage};
use serde_json::json;
use tempfile::TempDir;

use crate::fake_server::{FakeServer, Request, Response};

const AUTH: &str = "/api/devices/v1/authentication/auth_requests";
const NEXT_V1: &str = "/api/devices/v1/deployments/device/deployments/next";
const NEXT_V2: &str = "/api/devices/v2/deployments/device/deployments/next";

pub(crate) fn quiet() -> Log {
    Log::new(Level::Error, Box::new(io::sink()))
}

/// A session with these servers; the folder holds what it needs.
pub(crate) fn session(servers: &[&FakeServer]) -> (Session, TempDir) {
    session_with(servers, &Settings::default())
}

pub(crate) fn session_with(servers: &[&FakeServer], config: &Settings) -> (Session, TempDir) {
    session_adjusted(servers, |settings| {
        settings.trust = Trust::new(config);
        settings.connection_timeout = config.connection_timeout;
    })
}

/// With settings that `adjust` has changed.
pub(crate) fn session_adjusted(
    servers: &[&FakeServer],
    adjust: impl FnOnce(&mut SessionSettings),
) -> (Session, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("identity");
    fs::write(&script, "#!/bin/sh\necho sn=1\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("device_type"), "device_type=a board\n").unwrap();
    let mut settings = SessionSettings {
        servers: servers.iter().map(|server| server.url()).collect(),
        tenant_token: Some("tenant".to_owned()),
        device_tier: "standard".to_owned(),
        device_key: folder.path().join("key.pem").into(),
        is_key_static: false,
        identity_script: script,
        device_type_file: folder.path().join("device_type"),
        download_patience: Duration::from_secs(2),
        download_slowness: Duration::from_mins(10),
        connection_timeout: Settings::default().connection_timeout,
        trust: Trust::default(),
        time: TimeOfDay::default(),
    };
    adjust(&mut settings);
    let wake = Wake::default();
    let authority = Authority::new(settings, wake.clone(), quiet());
    (Session::new(authority, wake, quiet()), folder)
}

/// A server that gives tokens, and asks `handler` about everything else.
fn server(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> FakeServer {
    FakeServer::start(move |request| match request.path.as_str() {
        AUTH => Response::new(200, "token"),
        _ => handler(request),
    })
}

fn software() -> Software {
    let mut software = Software { artifact_name: "rel & 1".into(), ..Software::default() };
    software.provides.insert("rootfs-image.version".into(), "1".into());
    software
}

fn id() -> DeploymentId {
    DeploymentId::try_from("d1".to_owned()).unwrap()
}

fn instructions() -> Vec<u8> {
    json!({"id": "d1", "artifact": {"source": {"uri": "https://rota.example/a"}}})
        .to_string()
        .into_bytes()
}

#[test]
fn an_authentication_request_is_signed_over_its_exact_bytes() {
    let server = server(|_| Response::empty(204));
    let (mut session, _folder) = session(&[&server]);
    session.poll(&software()).unwrap();

    let request = server.requests().remove(0);
    let body = request.json();
    assert_eq!(body["id_data"], r#"{"sn":"1"}"#);
    assert_eq!(body["tenant_token"], "tenant");
    assert_eq!(body["tier"], "standard");
    assert_eq!(request.header("authorization"), Some("API_KEY"));

    let pem = body["pubkey"].as_str().unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let spki = STANDARD.decode(base64).unwrap();
    let signature = STANDARD.decode(request.header("x-men-signature").unwrap()).unwrap();
    // An Ed25519 SPKI is 12 bytes of prefix and the key.
    let key = UnparsedPublicKey::new(&ED25519, &spki[12..]);
    key.verify(&request.body, &signature).unwrap();
}

#[test]
fn the_next_server_is_tried_when_one_does_not_answer_well() {
    let broken = FakeServer::start(|_| Response::empty(500));
    let good = server(|_| Response::empty(204));
    let (mut session, _folder) = session(&[&broken, &good]);
    assert!(session.poll(&software()).unwrap().is_none());
    assert_eq!(broken.lines(), [format!("POST {AUTH}")]);
    assert_eq!(good.lines(), [format!("POST {AUTH}"), format!("POST {NEXT_V2}")]);
}

#[test]
fn a_server_that_goes_away_is_replaced_by_the_next() {
    let (first, second) = (server(|_| Response::empty(204)), server(|_| Response::empty(204)));
    let (mut session, _folder) = session(&[&first, &second]);
    session.poll(&software()).unwrap();
    let _port = first.go_away();
    assert!(matches!(session.poll(&software()), Err(ServerError::Http(_))));
    session.poll(&software()).unwrap();
    assert_eq!(second.lines(), [format!("POST {AUTH}"), format!("POST {NEXT_V2}")]);
}

#[test]
fn a_device_that_is_not_accepted_yet_is_told_so() {
    let server = FakeServer::start(|_| Response::empty(401));
    let (mut session, _folder) = session(&[&server]);
    let outcome = session.poll(&software());
    assert!(matches!(outcome, Err(ServerError::Unauthorized { .. })), "{outcome:?}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_poll_tells_what_is_installed_and_reads_the_instructions() {
    let server = server(|_| Response::new(200, instructions()));
    let (mut session, _folder) = session(&[&server]);
    let deployment = session.poll(&software()).unwrap().unwrap();
    assert_eq!(deployment.id, id());
    assert_eq!(deployment.uri, "https://rota.example/a");
    let poll = server.requests().remove(1);
    assert_eq!(poll.header("authorization"), Some("Bearer token"));
    assert_eq!(
        poll.json(),
        json!({"device_provides": {
            "artifact_name": "rel & 1",
            "device_type": "a board",
            "rootfs-image.version": "1",
        }, "update_control_map": true})
    );
}

#[test]
fn older_servers_are_asked_in_their_own_way() {
    let server = server(|request| match request.method.as_str() {
        "GET" => Response::empty(204),
        _ => Response::empty(404),
    });
    let (mut session, _folder) = session(&[&server]);
    assert!(session.poll(&software()).unwrap().is_none());
    assert_eq!(
        server.lines()[1..],
        [
            format!("POST {NEXT_V2}"),
            format!("POST {NEXT_V1}"),
            format!("GET {NEXT_V1}?artifact_name=rel%20%26%201&device_type=a%20board"),
        ]
    );
    assert_eq!(server.requests()[2].json()["artifact_name"], "rel & 1");
}

/// What a portal or a load balancer says with 200 would be a header that cannot be sent, so that no
/// server would ever refuse it.
#[test]
fn what_is_no_token_is_not_kept_as_one() {
    for page in ["<html>\n</html>", "", "two words", "\u{1f4a9}", &"x".repeat(100_000)] {
        let asked = AtomicU32::new(0);
        let page = page.to_owned();
        let server = FakeServer::start(move |request| match request.path.as_str() {
            AUTH if asked.fetch_add(1, Ordering::Relaxed) == 0 => {
                Response::new(200, page.as_bytes())
            }
            AUTH => Response::new(200, "token"),
            _ => Response::empty(204),
        });
        let (mut session, _folder) = session(&[&server]);
        let error = session.poll(&software()).unwrap_err();
        assert!(matches!(error, ServerError::Malformed { .. }), "{error:?}");
        assert!(session.poll(&software()).unwrap().is_none());
        let expected = [AUTH, AUTH, NEXT_V2].map(|path| format!("POST {path}"));
        assert_eq!(server.lines(), expected);
    }
}

#[test]
fn a_token_that_no_longer_works_is_replaced_once() {
    let polls = AtomicU32::new(0);
    let expired = server(move |_| match polls.fetch_add(1, Ordering::SeqCst) {
        1 => Response::empty(401),
        _ => Response::empty(204),
    });
    let (mut first, _folder) = session(&[&expired]);
    first.poll(&software()).unwrap();
    first.poll(&software()).unwrap();
    let next = format!("POST {NEXT_V2}");
    let auth = format!("POST {AUTH}");
    assert_eq!(expired.lines(), [&auth, &next, &next, &auth, &next].map(String::clone));

    let refusing = server(|_| Response::empty(401));
    let (mut second, _folder) = session(&[&refusing]);
    let outcome = second.poll(&software());
    assert!(matches!(outcome, Err(ServerError::Unauthorized { .. })), "{outcome:?}");
    assert_eq!(refusing.lines(), [auth, next]);
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_says() {
    for status in [429, 503] {
        let server = server(move |_| Response::empty(status).header("Retry-After", "7"));
        let (mut session, _folder) = session(&[&server]);
        let error = session.poll(&software()).unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
    }
}

#[test]
fn instructions_that_make_no_sense_are_refused() {
    for body in [
        "no JSON",
        "{}",
        r#"{"id":"../../x","artifact":{"source":{"uri":"https://a"}}}"#,
        r#"{"id":"d1","artifact":{"source":{"uri":"file:///etc/passwd"}}}"#,
    ] {
        let server = server(move |_| Response::new(200, body));
        let (mut session, _folder) = session(&[&server]);
        let outcome = session.poll(&software());
        assert!(matches!(outcome, Err(ServerError::Malformed { .. })), "{body}: {outcome:?}");
    }
}

#[test]
fn reports_are_put_and_an_abort_is_understood() {
    let server = server(|request| match request.json()["status"].as_str() {
        Some("downloading") => Response::empty(204),
        _ => Response::empty(409),
    });
    let (mut session, _folder) = session(&[&server]);
    session.report(&id(), Status::Downloading).unwrap();
    let outcome = session.report(&id(), Status::Installing);
    assert!(matches!(outcome, Err(ServerError::Aborted)), "{outcome:?}");
    let path = "/api/devices/v1/deployments/device/deployments/d1/status";
    assert_eq!(server.lines()[1], format!("PUT {path}"));
    assert_eq!(server.requests()[1].json(), json!({"status": "downloading"}));
}

#[test]
fn a_log_that_is_too_large_is_not_sent_again() {
    let server = server(|_| Response::empty(413));
    let (mut session, _folder) = session(&[&server]);
    let text = |text: &str| text.to_owned();
    let line =
        LogMessage { timestamp: text("t"), level: text("error"), message: text("it failed") };
    let error = session.upload_log(&id(), vec![line]).unwrap_err();
    assert!(!error.is_worth_a_retry(), "{error}");
    assert_eq!(
        server.requests()[1].json(),
        json!({"messages": [{"timestamp": "t", "level": "error", "message": "it failed"}]})
    );
}

#[test]
fn an_unchanged_inventory_is_sent_once_for_each_token() {
    let server = server(|_| Response::empty(200));
    let (mut session, _folder) = session(&[&server]);
    let inventory = |value: &str| {
        vec![Attribute { name: "color".into(), value: value.into(), description: None }]
    };
    session.send_inventory(inventory("blue")).unwrap();
    session.send_inventory(inventory("blue")).unwrap();
    assert_eq!(server.requests().len(), 2);
    session.send_inventory(inventory("red")).unwrap();
    assert_eq!(server.requests().len(), 3);
    session.drop_token();
    session.send_inventory(inventory("red")).unwrap();
    assert_eq!(server.requests().len(), 5);
    let last = server.requests().pop().unwrap();
    assert_eq!(last.method, "PUT");
    assert_eq!(last.json(), json!([{"name": "color", "value": "red"}]));
}

#[test]
fn no_request_is_made_before_the_device_knows_its_type() {
    let server = server(|_| Response::empty(204));
    let (mut session, folder) = session(&[&server]);
    fs::remove_file(folder.path().join("device_type")).unwrap();
    let outcome = session.poll(&software());
    assert!(matches!(outcome, Err(ServerError::DeviceType(_))), "{outcome:?}");
    assert!(server.requests().is_empty());
}
