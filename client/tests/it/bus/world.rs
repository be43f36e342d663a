//! A bus with the policy that we ship, its plain tools, and a server that gives tokens.

use std::{
    fs,
    io::{BufRead, BufReader},
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
    device::Device,
    fake_server::{FakeServer, Request, Response},
    tls::{Authority, params, self_signed, server_config},
};

pub(super) const NAME: &str = "io.mender.AuthenticationManager";
pub(super) const UPDATES: &str = "io.mender.UpdateManager";
pub(super) const OBJECT: &str = "/io/mender/AuthenticationManager";
pub(super) const INTERFACE: &str = "io.mender.Authentication1";
pub(super) const CONNECT: &str = "/api/devices/v1/deviceconnect/connect";
/// Where a program looks for the system's bus.
pub(super) const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// How the policies that we ship name who may have tokens.
const ROOT: &str = r#"user="root""#;

/// As the system's bus is set up, and our policy beside it, with this user in the place of root.
fn bus_config(device: &Device, user: &str, socket: &Path) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/dbus");
    let policies = [NAME, UPDATES].map(|name| {
        let file = format!("{name}.conf");
        let shipped = fs::read_to_string(folder.join(&file)).unwrap();
        assert!(shipped.contains(ROOT), "the policy names its user");
        device.write(&file, &shipped.replace(ROOT, &format!(r#"user="{user}""#)));
        format!("<include>{}</include>", device.path(&file).display())
    });
    format!(
        r#"<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
        <policy context="default"><allow user="*"/><deny own="*"/>
        <deny send_type="method_call"/><allow send_type="signal"/>
        <allow send_requested_reply="true" send_type="method_return"/>
        <allow send_requested_reply="true" send_type="error"/>
        <allow receive_type="method_call"/><allow receive_type="method_return"/>
        <allow receive_type="error"/><allow receive_type="signal"/>
        <allow send_destination="org.freedesktop.DBus"/></policy>
        <policy user="{user}"><allow send_destination="org.freedesktop.DBus"
        send_interface="org.freedesktop.DBus.Monitoring"/></policy>
        {}</busconfig>"#,
        socket.display(),
        policies.concat()
    )
}

/// A program that ends with the test.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(command: &mut Command) -> Self {
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

pub(super) struct Bus {
    _daemon: Running,
    socket: PathBuf,
}

impl Bus {
    /// The tests' own user is its root, so that anybody can run them.
    pub(super) fn start(device: &Device) -> Self {
        Self::start_for(device, &rustix::process::geteuid().as_raw().to_string())
    }

    pub(super) fn start_for(device: &Device, user: &str) -> Self {
        // Others must at least find the bus, to be refused by it.
        fs::set_permissions(device.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let socket = device.path("bus");
        device.write("bus.conf", &bus_config(device, user, &socket));
        let mut command = Command::new("dbus-daemon");
        command.arg("--nofork").arg("--config-file").arg(device.path("bus.conf"));
        let daemon = Running::start(&mut command);
        device.wait_for("bus");
        Self { _daemon: daemon, socket }
    }

    pub(super) fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    pub(super) fn busctl(&self, method: &str) -> Output {
        self.busctl_as(&[], &[NAME, OBJECT, INTERFACE, method])
    }

    pub(super) fn busctl_as(&self, user: &[&str], call: &[&str]) -> Output {
        let address = format!("--address={}", self.address());
        let words = [user, &["busctl", &address, "call"], call].concat();
        Command::new(words[0]).args(&words[1..]).output().expect("busctl and setpriv are installed")
    }

    /// What a method answers, as the bus's root.
    pub(super) fn call(&self, method: &str) -> String {
        let output = self.busctl(method);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the method gives an answer that is good.
    pub(super) fn call_until(&self, method: &str, is_good: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let output = self.busctl(method);
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
pub(super) struct Signals {
    _monitor: Running,
    lines: Receiver<String>,
}

impl Signals {
    pub(super) fn of(bus: &Bus) -> Self {
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
    pub(super) fn next(&self) -> [String; 2] {
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
pub(super) struct Rota {
    pub(super) server: FakeServer,
    pub(super) tokens: Arc<AtomicU32>,
    pub(super) is_accepting: Arc<Mutex<bool>>,
}

impl Rota {
    pub(super) fn start(device: &Device) -> Self {
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
