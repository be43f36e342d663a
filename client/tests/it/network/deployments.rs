//! Whole deployments over bad networks: the daemon ends in the right place, and says so.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    line::{Fault, Line},
    rota::{Rota, has_status, noise, ranges, statuses},
};
use crate::{
    device::Device,
    fake_server::{FakeServer, Request, Response},
    tls,
};

const ALL: [&str; 4] = ["downloading", "installing", "installing", "success"];

const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
const MANY: &str = "HTTP/1.1 429 Many\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.9\r\n";

/// Polls each second, and gives a silent connection up after one.
fn device(servers: &[&str]) -> Device {
    let device = Device::new();
    let servers: Vec<_> = servers.iter().map(|url| json!({"ServerURL": url})).collect();
    device.configure(&json!({
        "Servers": servers,
        "UpdatePollIntervalSeconds": 1,
        "InventoryPollIntervalSeconds": 3600,
        "RetryPollIntervalSeconds": 1,
        "ConnectionTimeoutSeconds": 1,
    }));
    device
}

/// What the server got as the log of the deployment.
fn wait_for_log(server: &FakeServer) -> String {
    let is_log = |request: &&Request| request.path.ends_with("/log");
    server.wait_until("the log", |requests| requests.iter().any(|r| is_log(&r)));
    let log = server.requests().iter().find(is_log).unwrap().json();
    let messages = log["messages"].as_array().unwrap().iter();
    messages.map(|m| m["message"].as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn every_second_connection_breaks_and_the_deployment_succeeds() {
    let rota = Rota::default();
    let server = rota.start();
    let content = noise(2, 200_000);
    let size = rota.deploy(&content);
    let faults = [
        Fault::Refuse,
        Fault::Answer(BUSY),
        Fault::Cut(20),
        Fault::Answer(MANY),
        Fault::Stall(30),
        Fault::Answer(NO_HTTP),
        Fault::Reset(0),
    ];
    let line = Line::to(&server.url(), move |number| match number % 2 {
        0 => faults[number / 2 % faults.len()].clone(),
        _ => Fault::None,
    });
    let parts = [
        Fault::Cut(size / 8),
        Fault::Stall(size / 8),
        Fault::Reset(size / 8),
        Fault::Answer(BUSY),
        Fault::Trickle(size / 3),
    ];
    let link = Line::with_faults(&server.url(), &parts);
    rota.state().links = link.url("http");
    let device = device(&[&line.url("http")]);
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(device.read("installed"), Some(content));
    let statuses = statuses(&server.requests());
    // The first two reports are sent once.
    assert_eq!(statuses[statuses.len() - 2..], ALL[2..], "{statuses:?}");
    assert!(!has_status(&server.requests(), "failure"));
    // Each part was sent once.
    assert_eq!(ranges(&server.requests()).len(), 4);
    daemon.stop();
}

#[test]
fn a_byte_that_changes_unnoticed_fails_the_deployment_and_the_log_says_so() {
    let rota = Rota::default();
    let server = rota.start();
    let size = rota.deploy(&noise(3, 100_000));
    let link = Line::with_faults(&server.url(), &[Fault::Corrupt(size / 2)]);
    rota.state().links = link.url("http");
    let device = device(&[&server.url()]);
    device.write("installed", "old content");
    let daemon = device.start_daemon();
    let log = wait_for_log(&server);
    assert!(log.contains("the download failed"), "{log}");
    assert_eq!(statuses(&server.requests()), ["downloading", "failure"]);
    assert_eq!(device.read("installed").as_deref(), Some("old content"));
    // The next deployment is none the worse for it.
    rota.deploy("new content");
    rota.state().is_over = false;
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    daemon.stop();
}

#[test]
fn a_rest_that_is_not_one_fails_the_deployment_and_the_log_says_so() {
    let rota = Rota::default();
    let server = rota.start();
    let size = rota.deploy(&noise(9, 100_000));
    let faults = [Fault::Cut(size / 2), Fault::Replace("Content-Range: b", "Content-Range: k")];
    let link = Line::with_faults(&server.url(), &faults);
    rota.state().links = link.url("http");
    let device = device(&[&server.url()]);
    let daemon = device.start_daemon();
    let log = wait_for_log(&server);
    assert!(log.contains("is no part of a file"), "{log}");
    assert_eq!(statuses(&server.requests()), ["downloading", "failure"]);
    assert_eq!(device.read("installed"), None);
    daemon.stop();
}

#[test]
fn tls_and_expired_links_over_a_bad_line() {
    let identity = tls::self_signed(&tls::params("localhost"));
    let rota = Rota::default();
    let server = rota.start_with(Some(tls::open_to_all(&identity)));
    let content = noise(4, 200_000);
    rota.deploy(&content);
    let expiring = rota.clone();
    let link = Line::to(&server.url(), move |number| match number {
        // In the handshake.
        0 => Fault::Corrupt(300),
        1 => Fault::Corrupt(50_000),
        2 => {
            expiring.state().link += 1;
            Fault::None
        }
        3 => Fault::Reset(40_000),
        _ => Fault::None,
    });
    rota.state().links = link.url("https");
    let device = device(&[&server.url()]);
    let certificate = device.path("server.crt");
    std::fs::write(&certificate, identity.certificate.pem()).unwrap();
    device.configure(&json!({
        "ServerURL": server.url(),
        "ServerCertificate": certificate,
        "UpdatePollIntervalSeconds": 1,
        "RetryPollIntervalSeconds": 1,
        "ConnectionTimeoutSeconds": 1,
    }));
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(statuses(&server.requests()), ALL);
    assert_eq!(device.read("installed"), Some(content));
    let polls = server.lines().iter().filter(|line| line.ends_with("/next")).count();
    assert!(polls >= 2, "no fresh link was asked for");
    daemon.stop();
}

#[test]
fn a_deployment_that_is_withdrawn_during_the_download_fails() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy(&noise(5, 100_000));
    let withdrawing = rota.clone();
    let link = Line::to(&server.url(), move |number| {
        if number == 0 {
            return Fault::Cut(30_000);
        }
        let mut state = withdrawing.state();
        (state.link, state.is_over) = (state.link + 1, true);
        Fault::None
    });
    rota.state().links = link.url("http");
    let device = device(&[&server.url()]);
    let daemon = device.start_daemon();
    let log = wait_for_log(&server);
    assert!(log.contains("no longer offers this deployment"), "{log}");
    assert_eq!(statuses(&server.requests()), ["downloading", "failure"]);
    assert_eq!(device.read("installed"), None);
    daemon.stop();
}

#[test]
fn the_time_limit_of_a_module_does_not_count_waiting_for_the_network() {
    let rota = Rota::default();
    let server = rota.start();
    let content = noise(10, 100_000);
    let size = rota.deploy(&content);
    let link = Line::with_faults(&server.url(), &vec![Fault::Stall(size / 6); 4]);
    rota.state().links = link.url("http");
    let device = device(&[&server.url()]);
    device.configure(&json!({
        "ServerURL": server.url(),
        "UpdatePollIntervalSeconds": 1,
        "ConnectionTimeoutSeconds": 1,
        "ModuleTimeoutSeconds": 3,
    }));
    let installed = device.path("installed").display().to_string();
    device.add_script(
        "share/modules/v3/test",
        &format!(
            r#"[ "$1" = Download ] || exit 0
            cd "$2"
            while line=$(cat stream-next) && [ -n "$line" ]; do cat "$line" > {installed}; done"#
        ),
    );
    let started = Instant::now();
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert!(started.elapsed() > Duration::from_secs(4));
    assert_eq!(device.read("installed"), Some(content));
    daemon.stop();
}

#[test]
fn another_server_takes_over_in_the_middle_of_an_update() {
    let (first_rota, second_rota) = (Rota::default(), Rota::default());
    let (first, second) = (first_rota.start(), second_rota.start());
    for rota in [&first_rota, &second_rota] {
        rota.deploy("new content");
    }
    let device = device(&[&first.url(), &second.url()]);
    device.write("hang-ArtifactInstall", "");
    let daemon = device.start_daemon();
    device.wait_for("hanging");
    assert_eq!(statuses(&first.requests()), ALL[..2]);
    let token_of_first = format!("Bearer {}", first_rota.state().token);
    let _port = first.go_away();
    std::fs::remove_file(device.path("hanging")).unwrap();
    second.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(statuses(&second.requests()), ALL[2..]);
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    let requests = second.requests();
    assert!(requests.iter().all(|r| r.header("authorization") != Some(&token_of_first)));
    daemon.stop();
}

#[test]
fn a_token_that_expires_during_an_update_is_replaced() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy("new content");
    let device = device(&[&server.url()]);
    device.write("hang-ArtifactInstall", "");
    let daemon = device.start_daemon();
    device.wait_for("hanging");
    rota.state().token = "another".to_owned();
    std::fs::remove_file(device.path("hanging")).unwrap();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(device.read("installed").as_deref(), Some("new content"));
    daemon.stop();
}

#[test]
fn a_log_is_sent_until_it_is_taken_or_refused() {
    for (answer, uploads) in [
        (Response::empty(413), 1),
        (Response::empty(429).header("Retry-After", "1"), 2),
        (Response::empty(503), 2),
    ] {
        let rota = Rota::default();
        let server = rota.start();
        rota.deploy("new content");
        rota.state().log_answers = vec![answer];
        let device = device(&[&server.url()]);
        device.write("fail-ArtifactInstall", "");
        let daemon = device.start_daemon();
        // The next poll shows that the deployment has ended.
        let is_over = |requests: &[Request]| {
            let last_log = requests.iter().rposition(|r| r.path.ends_with("/log"));
            let poll = requests.iter().rposition(|r| r.path.ends_with("/next"));
            last_log.is_some_and(|log| poll.is_some_and(|poll| poll > log))
        };
        server.wait_until("the end", is_over);
        let logs = server.lines().iter().filter(|line| line.ends_with("/log")).count();
        assert_eq!(logs, uploads);
        daemon.stop();
    }
}

#[test]
fn a_stop_ends_a_download_that_stands_still() {
    let rota = Rota::default();
    let server = rota.start();
    rota.deploy(&noise(6, 100_000));
    let link = Line::with_faults(&server.url(), &[Fault::Stall(50_000)]);
    rota.state().links = link.url("http");
    // Five minutes of patience.
    let device = Device::with_server(&server.url());
    let daemon = device.start_daemon();
    server.wait_until("the download", |requests| ranges(requests).len() == 1);
    let asked = Instant::now();
    daemon.stop();
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
}
