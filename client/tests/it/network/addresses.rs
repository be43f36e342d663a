//! A device that gets another address, on a network of its own: two namespaces and a cable.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rota_artifact::Builder;

use super::rota::{file, noise};
use crate::{
    device::{Device, Finished},
    fake_server::FakeServer,
};

/// Of a range that is kept for tests of networks.
const SERVER: &str = "198.18.213.1";
const BEFORE: &str = "198.18.213.2/24";
const AFTER: &str = "198.18.213.3/24";

/// Longer than a busy machine needs, and far less than a silent connection is kept.
const PATIENCE: Duration = Duration::from_secs(90);

/// The device's namespace, on a cable to this one.
struct Network {
    name: String,
}

impl Network {
    /// `None` where none can be made, which takes an administrator.
    #[expect(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
    fn new() -> Option<Self> {
        let name = format!("rota-{}", std::process::id());
        if !is_done(&format!("netns add {name}")) {
            eprintln!("left out: no network namespace can be made here, which takes root and ip");
            return None;
        }
        let network = Self { name };
        let name = &network.name;
        ip(&format!("link add {name} type veth peer name device netns {name}"));
        ip(&format!("addr add {SERVER}/24 dev {name}"));
        ip(&format!("link set {name} up"));
        network.ip("link set lo up");
        network.ip("link set device up");
        network.ip(&format!("addr add {BEFORE} dev device"));
        Some(network)
    }

    /// On the device.
    fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.name));
    }

    fn command(&self, device: &Device) -> Command {
        let client = device.command();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(client.get_program());
        command.args(client.get_args()).stdin(Stdio::null());
        for (name, value) in client.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cable goes with its end.
        is_done(&format!("-n {} link del device", self.name));
        is_done(&format!("netns del {}", self.name));
    }
}

fn is_done(arguments: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(arguments.split(' ')).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "ip {arguments}: {problem}");
}

#[test]
fn a_download_goes_on_from_the_address_that_the_device_has_now() {
    const SOON: usize = 400_000;
    let Some(network) = Network::new() else { return };
    let device = Device::new();
    let artifact = Builder::module_image("test", "new").device_type("board");
    let artifact = artifact.file_bytes("content", noise(1, 1_000_000)).to_vec().unwrap();
    let server = FakeServer::start_at(SERVER, move |request| match request.header("range") {
        // Bytes come until the address changes, and would for a long time.
        None => file(&artifact, request).dribble(SOON, Duration::from_millis(1)),
        Some(_) => file(&artifact, request),
    });
    let client = network
        .command(&device)
        .args(["install", &format!("{}/artifact", server.url())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stored = device.path("data/modules/v3/payloads/0000/tree/files/content");
    let started = Instant::now();
    while fs::metadata(&stored).map_or(0, |file| file.len()) < 100_000 {
        assert!(started.elapsed() < PATIENCE, "nothing comes");
        std::thread::sleep(Duration::from_millis(10));
    }
    network.ip(&format!("addr del {BEFORE} dev device"));
    network.ip(&format!("addr add {AFTER} dev device"));
    let changed = Instant::now();
    server.wait_until("the rest", |requests| {
        requests.iter().any(|request| request.header("range").is_some())
    });
    assert!(changed.elapsed() < PATIENCE, "{:?}", changed.elapsed());
    let ended = Finished::from(client.wait_with_output().unwrap());
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
    let problem = "the device no longer has the address 198.18.213.2";
    assert!(ended.stderr().contains(problem), "{}", ended.stderr());
    assert_eq!(device.read("installed").unwrap().len(), 1_000_000);
    assert_eq!(server.requests().len(), 2);
}
