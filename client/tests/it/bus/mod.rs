//! The device's token on D-Bus, and the way to the server that goes with it: a bus of our own with
//! the policy that we ship, its plain tools, and Debian's mender-connect.

mod world;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::atomic::Ordering,
    time::Instant,
};

use self::world::{
    ADDRESS, Bus, CONNECT, INTERFACE, NAME, OBJECT, PATIENCE, Rota, Running, Signals, UPDATES,
};
use crate::{
    device::{Daemon, Device},
    fake_server::Request,
};

fn start() -> (Device, Bus, Rota, Daemon) {
    let mut device = Device::new();
    let bus = Bus::start(&device);
    device.set_environment(ADDRESS, bus.address());
    let rota = Rota::start(&device);
    let daemon = device.start_daemon();
    (device, bus, rota, daemon)
}

/// Both texts of an answer as busctl prints it.
fn texts(answer: &str) -> [String; 2] {
    let mut quoted = answer.split('"').skip(1).step_by(2).map(str::to_owned);
    [quoted.next().unwrap(), quoted.next().unwrap()]
}

/// Makes a request by hand; all of the answer.
fn ask(url: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn tokens_and_the_way_to_the_server_are_had_from_the_bus() {
    let (_device, bus, rota, daemon) = start();
    let answer = bus.call_until("GetJwtToken", |answer| answer.contains("token"));
    let [token, url] = texts(&answer);
    assert_eq!(token, "token1");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    // Requests go on with the client's own certificate; large bodies go both ways.
    let body = "x".repeat(1 << 20);
    let length = body.len();
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: {url}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let answer = ask(&url, &request);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&body));
    let requests = rota.server.requests();
    let forwarded = requests.iter().find(|request| request.path == "/echo").unwrap();
    assert_eq!(forwarded.header("authorization"), Some("Bearer token1"));
    assert_eq!(forwarded.header("host"), rota.server.url().strip_prefix("https://"));
    let elsewhere = ask(&url, "GET http://elsewhere/ HTTP/1.1\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 400 "), "{elsewhere}");

    // There is an end to connections, and room again when they have ended.
    let address = url.strip_prefix("http://").unwrap();
    let idle: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    let request = "GET /echo HTTP/1.1\r\n\r\n";
    assert!(ask(&url, request).ends_with("too many connections"));
    drop(idle);
    let started = Instant::now();
    while !ask(&url, request).starts_with("HTTP/1.1 200 ") {
        assert!(started.elapsed() < PATIENCE, "no room is made");
    }

    // Every fetch is told, whatever comes of it.
    let signals = Signals::of(&bus);
    assert_eq!(bus.call("FetchJwtToken"), "b true");
    assert_eq!(signals.next(), ["token2".to_owned(), url.clone()]);
    assert_eq!(texts(&bus.call("GetJwtToken")), ["token2".to_owned(), url.clone()]);
    *rota.is_accepting.lock().unwrap() = false;
    assert_eq!(bus.call("FetchJwtToken"), "b true");
    assert_eq!(signals.next(), ["", ""]);
    assert_eq!(texts(&bus.call("GetJwtToken")), ["", ""]);
    let refused = ask(&url, "GET / HTTP/1.1\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    *rota.is_accepting.lock().unwrap() = true;
    assert_eq!(bus.call("FetchJwtToken"), "b true");
    assert_eq!(signals.next(), ["token3".to_owned(), url]);
    daemon.stop();
}

#[test]
fn tokens_are_for_root_alone() {
    let device = Device::new();
    let is_root = rustix::process::geteuid().is_root();
    // Root becomes another user. Who is another user already is refused by the policy as shipped.
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let user = if is_root { &nobody[..] } else { &[] };
    let bus = Bus::start_for(&device, "root");
    let call = |words: &[&str]| {
        let output = bus.busctl_as(user, words);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for name in [NAME, UPDATES] {
        let driver = "org.freedesktop.DBus";
        let said = call(&[driver, "/", driver, "RequestName", "su", name, "0"]);
        assert!(said.contains("Access denied"), "{said}");
    }
    if is_root {
        // Only with the name's owner there can a call to it be refused.
        let (_device, bus, _rota, daemon) = start();
        bus.call_until("GetJwtToken", |answer| answer.contains("token1"));
        let refused = bus.busctl_as(&nobody, &[NAME, OBJECT, INTERFACE, "GetJwtToken"]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("Access denied"), "{said}");
        daemon.stop();
    }
}

#[test]
fn the_client_works_without_a_bus_and_finds_one_that_comes_back() {
    let (device, bus, rota, daemon) = start();
    bus.call_until("GetJwtToken", |answer| answer.contains("token1"));
    drop(bus);
    device.wait_for_log("D-Bus has gone");
    fs::remove_file(device.path("bus")).unwrap();
    let polls = |requests: &[Request]| {
        requests.iter().filter(|request| request.path.ends_with("/next")).count()
    };
    let before = polls(&rota.server.requests());
    assert_eq!(device.run(&["check-update"]).code(), Some(0));
    rota.server.wait_until("a poll", |requests| polls(requests) > before);
    let bus = Bus::start(&device);
    let answer = bus.call_until("GetJwtToken", |answer| answer.contains("token1"));
    assert!(texts(&answer)[1].starts_with("http://127.0.0.1:"));
    daemon.stop();
}

/// Debian's package mender-connect, unchanged.
#[test]
fn debians_mender_connect_reaches_the_server_through_the_client() {
    let (device, bus, rota, daemon) = start();
    bus.call_until("GetJwtToken", |answer| answer.contains("token1"));
    device.write("connect.conf", r#"{"ShellCommand": "/bin/sh", "User": "root"}"#);
    let log = fs::File::create(device.path("connect.log")).unwrap();
    let mut command = Command::new("mender-connect");
    command.arg("--debug").arg("--config").arg(device.path("connect.conf")).arg("daemon");
    command.env(ADDRESS, bus.address()).stdout(log.try_clone().unwrap()).stderr(log);
    let _connect = Running::start(&mut command);

    let connections = |requests: &[Request]| -> Vec<String> {
        let is_connection = |request: &&Request| request.path == CONNECT;
        let bearer = |request: &Request| request.header("authorization").unwrap().to_owned();
        requests.iter().filter(is_connection).map(bearer).collect()
    };
    let count = |requests: &[Request], method: &str| {
        requests.iter().filter(|request| request.method == method).count()
    };
    rota.server.wait_until("a WebSocket with a pong", |requests| count(requests, "PONG") == 1);
    assert_eq!(connections(&rota.server.requests()), ["Bearer token1"]);

    // A new token ends the old session and begins a new one.
    assert_eq!(bus.call("FetchJwtToken"), "b true");
    rota.server.wait_until("another WebSocket", |requests| {
        count(requests, "PONG") == 2 && count(requests, "END") == 1
    });
    assert_eq!(connections(&rota.server.requests()), ["Bearer token1", "Bearer token2"]);
    assert_eq!(rota.tokens.load(Ordering::SeqCst), 2);
    daemon.stop();
}

#[test]
fn programs_on_the_device_hold_updates_over_the_bus() {
    let (device, bus, _rota, daemon) = start();
    bus.call_until("GetJwtToken", |answer| answer.contains("token"));
    let address = format!("--address={}", bus.address());
    let set = |json: &str| {
        let call = ["call", UPDATES, "/io/mender/UpdateManager", "io.mender.Update1"];
        let method = ["SetUpdateControlMap", "s", json];
        let words = [&[address.as_str()][..], &call, &method].concat();
        Command::new("busctl").args(words).output().expect("busctl is installed")
    };
    // The name is taken right behind the other one's.
    let started = Instant::now();
    let map = r#"{"id": "console", "states": {"ArtifactInstall_Enter": {"action": "pause"}}}"#;
    let mut output = set(map);
    while !output.status.success() {
        assert!(started.elapsed() < PATIENCE, "{output:?}");
        output = set(map);
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "i 1800");
    let shown = device.run(&["control-map", "show"]).stdout();
    assert!(shown.contains(r#""id":"console""#), "{shown}");

    let refused = set(r#"{"id": "console", "priority": 11}"#);
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(reason.contains("priority 11"), "{reason}");
    daemon.stop();
}
