//! The device's token on D-Bus, and the way to the server that goes with it: a bus of our own with
//! the policy that we ship, its plain tools, and Debian's mender-connect.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::KeyPair;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::DEFAULT_VERSIONS;
use serde_json::json;

use crate::{
    device::{Daemon, Device},
    fake_server::{FakeServer, Request, Response},
    tls::{Authority, params, self_signed, server_config},
};

const NAME: &str = "io.mender.AuthenticationManager";
const UPDATES: &str = "io.mender.UpdateManager";
const OBJECT: &str = "/io/mender/AuthenticationManager";
const INTERFACE: &str = "io.mender.Authentication1";
const CONNECT: &str = "/api/devices/v1/deviceconnect/connect";
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
const PATIENCE: Duration = Duration::from_secs(90);

/// As the system's bus is set up, and our policy beside it.
fn bus_config(socket: &Path) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/dbus");
    let policies = [NAME, UPDATES]
        .map(|name| format!("<include>{}.conf</include>", folder.join(name).display()));
    format!(
        r#"<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
        <policy context="default"><allow user="*"/><deny own="*"/>
        <deny send_type="method_call"/><allow send_type="signal"/>
        <allow send_requested_reply="true" send_type="method_return"/>
        <allow send_requested_reply="true" send_type="error"/>
        <allow receive_type="method_call"/><allow receive_type="method_return"/>
        <allow receive_type="error"/><allow receive_type="signal"/>
        <allow send_destination="org.freedesktop.DBus"/></policy>
        <policy user="root"><allow send_destination="org.freedesktop.DBus"
        send_interface="org.freedesktop.DBus.Monitoring"/></policy>
        {}</busconfig>"#,
        socket.display(),
        policies.concat()
    )
}

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let program = command.get_program().display().to_string();
        Self(command.spawn().unwrap_or_else(|e| panic!("{program} is installed (make setup): {e}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bus {
    _daemon: Running,
    socket: PathBuf,
}

impl Bus {
    fn start(device: &Device) -> Self {
        assert!(rustix::process::geteuid().is_root(), "the policy lets root alone have tokens");
        // Others must at least find the bus, to be refused by it.
        fs::set_permissions(device.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = device.path("bus");
        device.write("bus.conf", &bus_config(&socket));
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--config-file").arg(device.path("bus.conf"));
        let daemon = Running::start(&mut command);
        device.wait_for("bus");
        Self { _daemon: daemon, socket }
    }

    fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    fn busctl(&self, user: &[&str], method: &str) -> Output {
        let address = format!("--address={}", self.address());
        let call = ["busctl", &address, "call", NAME, OBJECT, INTERFACE, method];
        let words = [user, &call].concat();
        Command::new(words[0]).args(&words[1..]).output().expect("busctl and setpriv are installed")
    }

    /// What a method answers, as root.
    fn call(&self, method: &str) -> String {
        let output = self.busctl(&[], method);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the method gives an answer that is good.
    fn call_until(&self, method: &str, is_good: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let output = self.busctl(&[], method);
            let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() && is_good(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "{method}: {output:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Listens to signals.
struct Signals {
    _monitor: Running,
    lines: Receiver<String>,
}

impl Signals {
    fn of(bus: &Bus) -> Self {
        let mut command = Command::new("dbus-monitor");
        let rule = format!("type='signal',interface='{INTERFACE}'");
        command.arg("--address").arg(bus.address()).arg(rule).stdout(Stdio::piped());
        let mut monitor = Running::start(&mut command);
        let output = BufReader::new(monitor.0.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let signals = Self { _monitor: monitor, lines };
        // The bus tells the monitor so when it listens.
        while !signals.line().contains("member=NameLost") {}
        signals
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a signal comes")
    }

    /// The next signal's two texts.
    fn next(&self) -> [String; 2] {
        let mut line = String::new();
        while !line.contains("member=JwtTokenStateChange") {
            line = self.line();
        }
        assert!(line.contains(OBJECT), "{line}");
        let text =
            |line: String| line.trim().trim_start_matches("string ").trim_matches('"').to_owned();
        [text(self.line()), text(self.line())]
    }
}

/// A server behind mutual TLS that gives a new token each time, while it accepts the device.
struct Rota {
    server: FakeServer,
    tokens: Arc<AtomicU32>,
    is_accepting: Arc<Mutex<bool>>,
}

impl Rota {
    fn start(device: &Device) -> Self {
        let authority = Authority::new("devices");
        let identity = authority.sign("device", KeyPair::generate().unwrap());
        device.write("client.crt", &identity.certificate.pem());
        device.write("client.key", &identity.key.serialize_pem());
        let own = self_signed(&params("localhost"));
        device.write("server.crt", &own.certificate.pem());
        let tokens = Arc::new(AtomicU32::new(0));
        let is_accepting = Arc::new(Mutex::new(true));
        let handler = {
            let (tokens, is_accepting) = (tokens.clone(), is_accepting.clone());
            move |request: &Request| match request.path.as_str() {
                path if path.ends_with("/auth_requests") => {
                    if *is_accepting.lock().unwrap() {
                        let number = tokens.fetch_add(1, Ordering::SeqCst) + 1;
                        Response::new(200, format!("token{number}"))
                    } else {
                        Response::empty(401)
                    }
                }
                CONNECT => upgrade(request),
                "/echo" => Response::new(200, request.body.clone()),
                _ => Response::empty(204),
            }
        };
        let config = server_config(&own, Some(&authority), DEFAULT_VERSIONS);
        let server = FakeServer::start_with(Some(config), handler);
        device.configure(&json!({
            "ServerURL": server.url(),
            "ServerCertificate": device.path("server.crt"),
            "HttpsClient": {
                "Certificate": device.path("client.crt"),
                "Key": device.path("client.key"),
            },
        }));
        Self { server, tokens, is_accepting }
    }
}

/// Says yes to a WebSocket (RFC 6455).
fn upgrade(request: &Request) -> Response {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    Response::empty(101)
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Accept", STANDARD.encode(sum))
}

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

    // Tokens are for root alone.
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let refused = bus.busctl(&nobody, "GetJwtToken");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("Access denied"), "{said}");
    daemon.stop();
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
