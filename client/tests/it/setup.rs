//! `setup`, by flags and by answers on a terminal.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};

use crate::{
    device::Device,
    fake_server::{FakeServer, Response},
    terminal::{Streams, Terminal},
};

fn config(device: &Device) -> Value {
    serde_json::from_str(&device.read("config/mender.conf").unwrap()).unwrap()
}

/// A device that was never set up.
fn blank() -> Device {
    let device = Device::new();
    fs::remove_file(device.path("data/device_type")).unwrap();
    device
}

#[test]
fn flags_say_it_all() {
    let device = blank();
    device.configure(&json!({"servers": [{"ServerURL": "https://old"}], "RootfsPartA": "/dev/a"}));
    let hosts = device.path("hosts");
    fs::write(&hosts, "127.0.0.1 localhost").unwrap();
    let hosts = hosts.to_str().unwrap();
    let flags = [
        "setup",
        "--device-type",
        "board",
        "--server-url",
        "https://rota.example:8443/",
        "--server-ip",
        "10.0.0.1",
        "--tenant-token",
        "t.o.k",
        "--update-poll",
        "60",
        "--hosts-file",
        hosts,
    ];
    // The second time changes nothing.
    for _ in 0..2 {
        let ended = device.run(&flags);
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
        assert_eq!(
            config(&device),
            json!({
                "RootfsPartA": "/dev/a", "ServerURL": "https://rota.example:8443",
                "TenantToken": "t.o.k", "UpdatePollIntervalSeconds": 60,
                "InventoryPollIntervalSeconds": 28800, "RetryPollIntervalSeconds": 300,
            })
        );
        assert_eq!(device.read("data/device_type").as_deref(), Some("device_type=board\n"));
        let hosts = device.read("hosts").unwrap();
        assert_eq!(hosts, "127.0.0.1 localhost\n10.0.0.1 rota.example\n");
    }
    let mode = fs::metadata(device.path("config/mender.conf")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn demonstrations_have_their_own_values() {
    let device = blank();
    let hosts = device.path("hosts");
    let hosts = hosts.to_str().unwrap();
    let ended =
        device.run(&["setup", "--demo", "--device-type", "qemu", "-q", "--hosts-file", hosts]);
    assert_eq!((ended.code(), ended.stdout().as_str()), (Some(0), ""), "{}", ended.stderr());
    let config = config(&device);
    assert_eq!(config["ServerURL"], "https://docker.mender.io");
    assert_eq!(config["UpdatePollIntervalSeconds"], 5);
    assert_eq!(config["RetryPollIntervalSeconds"], 30);
    assert_eq!(device.read("hosts").as_deref(), Some("127.0.0.1 docker.mender.io\n"));
}

#[test]
fn nothing_is_written_before_all_is_good() {
    let device = blank();
    device.write("junk", "no certificate");
    let junk = device.path("junk");
    let junk = junk.to_str().unwrap();
    for (flags, expected) in [
        (&[][..], "there is no terminal to ask questions on; pass --device-type and --server-url"),
        (&["--device-type", "a"], "pass --server-url"),
        (&["--device-type", "a", "--server-url", "nonsense"], "--server-url: \"nonsense\""),
        (&["--device-type", "a", "--server-url", "https://a", "--retry-poll", "1"], "--retry-poll"),
        (&["--device-type", "a", "--server-url", "https://a", "-E", junk], "no certificate"),
        (&["--device-type", "a", "--server-url", "https://a", "--server-ip", "x"], "--server-ip"),
        (&["--username", "a@b"], "--username is for a service of Mender's"),
    ] {
        let ended = device.run(&[&["setup", "-q"], flags].concat());
        assert_eq!(ended.code(), Some(1), "{flags:?}");
        assert!(ended.stderr().contains(expected), "{flags:?}: {}", ended.stderr());
        assert!(device.read("config/mender.conf").is_none(), "{flags:?}");
        assert!(device.read("data/device_type").is_none(), "{flags:?}");
    }
    device.write("config/mender.conf", "{ broken");
    let ended = device.run(&["setup", "-q", "--device-type", "a", "--server-url", "https://a"]);
    assert!(ended.stderr().contains("correct or remove it first"), "{}", ended.stderr());
    assert_eq!(device.read("config/mender.conf").as_deref(), Some("{ broken"));
}

#[test]
fn a_server_that_cannot_be_reached_is_a_warning() {
    let device = blank();
    let ended = device.run(&["setup", "--device-type", "a", "--server-url", "http://127.0.0.1:1"]);
    assert_eq!(ended.code(), Some(0));
    assert!(ended.stderr().contains("warning: the server cannot be reached"), "{}", ended.stderr());
}

#[test]
fn a_person_answers_on_a_terminal() {
    let server = FakeServer::start(|_| Response::empty(404));
    let device = blank();
    device.configure(&json!({"UpdatePollIntervalSeconds": 77, "Kept": true}));
    let mut terminal = Terminal::start(device.command().arg("setup"), Streams::All);
    for (question, answer) in [
        ("Type of this device []: ", ""),
        // There must be one.
        ("Type of this device []: ", "board"),
        ("Address of the server []: ", "rota.example"),
        ("Address of the server []: ", "http://127.0.0.1:1"),
        ("to trust besides the system's, if any []: ", "/nonexistent"),
        ("to trust besides the system's, if any []: ", ""),
        ("Keep it all the same? yes or no [no]: ", "perhaps"),
        ("Keep it all the same? yes or no [no]: ", ""),
        ("Address of the server [http://127.0.0.1:1]: ", &server.url()),
        ("if any []: ", ""),
        ("if the server wants one []: ", "tok"),
        ("two looks for updates [77]: ", "60"),
        ("reports of the inventory [28800]: ", ""),
        ("before a failed one is tried again [300]: ", "soon"),
        ("before a failed one is tried again [300]: ", "30"),
    ] {
        terminal.expect(question);
        assert!(device.read("data/device_type").is_none(), "written before the end");
        terminal.enter(answer);
    }
    let (status, shown) = terminal.wait();
    assert!(status.success(), "{shown}");
    assert_eq!(
        config(&device),
        json!({
            "Kept": true, "ServerURL": server.url(), "TenantToken": "tok",
            "UpdatePollIntervalSeconds": 60, "InventoryPollIntervalSeconds": 28800,
            "RetryPollIntervalSeconds": 30,
        })
    );
    assert_eq!(device.read("data/device_type").as_deref(), Some("device_type=board\n"));
}

#[test]
fn a_person_who_leaves_changes_nothing() {
    let device = blank();
    let mut terminal = Terminal::start(device.command().arg("setup"), Streams::All);
    terminal.expect("Type of this device");
    terminal.enter("board");
    terminal.expect("Address of the server");
    terminal.end_input();
    let (status, shown) = terminal.wait();
    assert_eq!(status.code(), Some(1));
    assert!(shown.contains("the input ended; nothing was written"), "{shown}");
    assert!(device.read("data/device_type").is_none());
    assert!(device.read("config/mender.conf").is_none());
}
