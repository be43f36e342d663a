//! The names that the program answers to, and the commands around updates.

use std::{
    fs,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

use crate::{
    device::{Device, Finished, artifact},
    fake_server::{FakeServer, Response},
    terminal::{Streams, Terminal},
};

/// Runs the program under another name.
fn run_as(name: &str, device: &Device, arguments: &[&str]) -> Finished {
    Finished::of(device.command().arg0(format!("/usr/bin/{name}")).args(arguments))
}

fn json_of(device: &Device, command: &str) -> Value {
    let ended = device.run(&[command, "--output", "json"]);
    serde_json::from_str(&ended.stdout()).unwrap()
}

#[test]
fn each_name_has_its_commands_and_its_help() {
    let device = Device::new();
    for (name, has, lacks) in [
        ("rota-client", &["install", "bootstrap", "setup", "snapshot dump", "daemon"][..], "MTD"),
        ("mender", &["install", "bootstrap", "setup", "snapshot dump", "daemon"], "MTD"),
        ("mender-update", &["install", "resume", "--stop-before", "daemon"], "bootstrap"),
        ("mender-auth", &["bootstrap", "daemon", "--forcebootstrap"], "install"),
        ("mender-setup", &["--device-type", "--server-url", "--demo-polling"], "install"),
        ("mender-snapshot", &["--source", "--compression"], "install"),
    ] {
        let help = run_as(name, &device, &["--help"]);
        assert_eq!(help.code(), Some(0), "{name}");
        assert!(help.stdout().starts_with(&format!("Usage: {name} ")), "{}", help.stdout());
        for word in has {
            assert!(help.stdout().contains(word), "{name}: {word}");
        }
        assert!(!help.stdout().contains(lacks), "{name}: {lacks}");
        let bogus = run_as(name, &device, &["--bogus"]);
        assert_eq!(bogus.code(), Some(1), "{name}");
        assert!(bogus.stderr().contains("Unrecognized option '--bogus'"), "{}", bogus.stderr());
        let version = run_as(name, &device, &["-v"]);
        assert_eq!(version.stdout(), concat!(env!("CARGO_PKG_VERSION"), "\n"), "{name}");
    }
    assert_eq!(run_as("mender-update", &device, &["show-artifact"]).stdout(), "unknown\n");
    let refused = run_as("mender-auth", &device, &["show-artifact"]);
    assert!(refused.stderr().contains("no such command: show-artifact"), "{}", refused.stderr());
}

#[test]
fn command_lines_of_the_go_client_still_work() {
    let device = Device::new();
    let path = device.add_artifact("new", "content");
    let log = device.path("log");
    let installed = run_as(
        "mender",
        &device,
        &["--no-syslog", "-log-file", log.to_str().unwrap(), "-install", path.to_str().unwrap()],
    );
    assert_eq!((installed.code(), installed.stderr().as_str()), (Some(0), ""));
    assert!(device.read("log").unwrap().contains("ArtifactInstall"));
    assert_eq!(run_as("mender", &device, &["-commit"]).stdout(), "Committed.\n");
    assert_eq!(run_as("mender", &device, &["-show-artifact"]).stdout(), "new\n");
    assert_eq!(run_as("mender", &device, &["-rollback"]).code(), Some(2));
    let secret = run_as("mender", &device, &["daemon", "--passphrase-file", "/p"]);
    assert!(
        secret.stderr().contains("encrypted device keys cannot be used"),
        "{}",
        secret.stderr()
    );
}

#[test]
fn the_daemon_of_mender_auth_waits_beside_the_other() {
    let device = Device::new();
    let other = device.start_daemon();
    device.wait_for("data/rota-client.pid");
    let log = fs::File::create(device.path("auth.log")).unwrap();
    let mut auth = device.command().arg0("mender-auth").arg("daemon").stderr(log).spawn().unwrap();
    let began = Instant::now();
    while !device.read("auth.log").unwrap().contains("authenticates by itself") {
        assert!(began.elapsed() < Duration::from_secs(90));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(auth.try_wait().unwrap().is_none(), "it ended");
    let pid = rustix::process::Pid::from_child(&auth);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(auth.wait().unwrap().success());
    other.stop();
}

#[test]
fn bootstrap_makes_a_key_and_asks_once() {
    let server = FakeServer::start(|_| Response::empty(401));
    let device = Device::with_server(&server.url());
    let ended = run_as("mender-auth", &device, &["bootstrap"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
    assert_eq!(server.lines(), ["POST /api/devices/v1/authentication/auth_requests"]);
    let key = device.read("data/mender-agent.pem").unwrap();
    assert_eq!(device.run(&["bootstrap"]).code(), Some(0));
    assert_eq!(device.read("data/mender-agent.pem"), Some(key.clone()));
    assert_eq!(device.run(&["bootstrap", "--forcebootstrap"]).code(), Some(0));
    assert_ne!(device.read("data/mender-agent.pem"), Some(key));
}

#[test]
fn status_tells_what_is_and_what_was() {
    let device = Device::new();
    assert_eq!(
        device.run(&["status"]).stdout(),
        "Installed:   unknown\nIn progress: none\nLast update: none\nDaemon:      not running\n"
    );
    let path = device.add_artifact("new", "content");
    let path = path.to_str().unwrap();
    assert_eq!(device.run(&["install", path]).code(), Some(0));
    let waiting = json!({
        "deployment_id": null, "artifact_name": "new", "stage": "before-commit", "failed": false,
    });
    assert_eq!(json_of(&device, "status")["update"], waiting);
    assert_eq!(device.run(&["commit"]).code(), Some(0));
    device.write("fail-ArtifactInstall", "");
    assert_eq!(device.run(&["install", path]).code(), Some(1));

    let daemon = device.start_daemon();
    let began = Instant::now();
    let mut status = json_of(&device, "status");
    // Without a server it soon waits for another try.
    while status["next_contact_seconds"].as_u64().unwrap_or_default() == 0 {
        assert!(began.elapsed() < Duration::from_secs(90), "{status:#}");
        status = json_of(&device, "status");
    }
    assert!(status["daemon_pid"].as_u64().is_some());
    assert_eq!(status["artifact_name"], "new");
    assert_eq!(status["provides"]["rootfs-image.test.version"], "new");
    assert_eq!(status["update"], Value::Null);
    let outcome = "failure; the previous software is in place";
    assert_eq!(
        status["last_update"],
        json!({"deployment_id": null, "artifact_name": "new", "outcome": outcome})
    );
    assert_eq!(status["update_poll_interval_seconds"], 1800);
    daemon.stop();
    assert_eq!(json_of(&device, "show-artifact"), json!({"artifact_name": "new"}));
    assert_eq!(json_of(&device, "show-provides")["artifact_name"], "new");
}

/// A daemon that could not write its process id is found through systemd.
#[test]
fn a_daemon_of_systemd_gets_the_signals() {
    let mut device = Device::new();
    let root = device.path("").display().to_string();
    device.add_script("daemon", &format!("trap 'echo poll >> {root}/got' USR1\ntrap 'echo inventory >> {root}/got; exit' USR2\ntouch {root}/ready\nwhile :; do sleep 0.05; done"));
    let mut daemon = Command::new(device.path("daemon")).spawn().unwrap();
    device.wait_for("ready");
    fs::create_dir(device.path("bin")).unwrap();
    device.add_script(
        "bin/systemctl",
        &format!("[ \"$3\" = mender-updated ] && echo MainPID={} || echo MainPID=0", daemon.id()),
    );
    let path = std::env::var("PATH").unwrap();
    device.set_environment("PATH", format!("{root}/bin:{path}"));
    assert_eq!(device.run(&["check-update"]).code(), Some(0));
    device.wait_for("got");
    assert_eq!(device.run(&["send-inventory"]).code(), Some(0));
    assert!(daemon.wait().unwrap().success());
    assert_eq!(device.read("got").as_deref(), Some("poll\ninventory\n"));

    device.add_script("bin/systemctl", "echo MainPID=0");
    let nobody = device.run(&["check-update"]);
    assert_eq!(nobody.code(), Some(1));
    assert!(nobody.stderr().contains("no daemon is running"), "{}", nobody.stderr());
}

#[test]
fn an_installation_on_a_terminal_shows_how_far_it_is() {
    let device = Device::new();
    device.write("no-rollback", "");
    let pipe = device.path("pipe");
    mkfifoat(CWD, &pipe, Mode::from(0o600)).unwrap();
    let terminal = Terminal::start(device.command().arg("install").arg(&pipe), Streams::NotOutput);
    let mut feed = fs::File::options().write(true).open(&pipe).unwrap();
    let bytes = artifact("new", "content");
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    // Slowly, until the bar is drawn.
    let mut sent = 0;
    for byte in first {
        feed.write_all(&[*byte]).unwrap();
        sent += 1;
        if terminal.shows(" KiB/s") {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let bar = terminal.expect(" KiB/s");
    feed.write_all(&first[sent..]).unwrap();
    feed.write_all(rest).unwrap();
    drop(feed);
    let (status, shown) = terminal.wait();
    assert!(status.success(), "{bar}{shown}");
    // A line of the log takes the place of the bar.
    assert!(shown.contains("\r\u{1b}[K"), "{shown:?}");
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new\n");
}

#[test]
fn snapshots_are_refused_where_they_would_hang_or_make_no_sense() {
    let device = Device::new();
    let terminal = Terminal::start(device.command().args(["snapshot", "dump"]), Streams::All);
    let (status, shown) = terminal.wait();
    assert_eq!(status.code(), Some(1));
    assert!(shown.contains("redirect the output"), "{shown}");
    for (source, expected) in [
        ("/proc", "is on no block device"),
        ("/nonexistent", "cannot find the file system of /nonexistent"),
    ] {
        let ended = run_as("mender-snapshot", &device, &["dump", "--source", source]);
        assert_eq!((ended.code(), ended.stdout().as_str()), (Some(1), ""), "{source}");
        assert!(ended.stderr().contains(expected), "{source}: {}", ended.stderr());
    }
}

#[test]
fn mender_flash_writes_images() {
    let device = Device::new();
    device.write("image", "content of the image");
    let (image, target) = (device.path("image"), device.path("target"));
    let flash = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rota-client"));
        Finished::of(command.arg0("mender-flash").args(arguments))
    };
    let (image, target) = (image.to_str().unwrap(), target.to_str().unwrap());
    let written = flash(&["-i", image, "-o", target]);
    assert!(written.stdout().starts_with("20 bytes written, 0 unchanged"), "{}", written.stderr());
    assert_eq!(device.read("target").as_deref(), Some("content of the image"));
    let again = flash(&["-i", image, "-o", target, "-s", "20"]);
    assert!(again.stdout().starts_with("0 bytes written, 20 unchanged"), "{}", again.stdout());
    let short = flash(&["-i", image, "-o", target, "-s", "21"]);
    assert_eq!(short.code(), Some(1));
    assert!(short.stderr().contains("ends after 20 of 21 bytes"), "{}", short.stderr());
    assert_eq!(flash(&["-i", image]).code(), Some(1));
    assert!(flash(&["-h"]).stdout().starts_with("Usage: mender-flash"));
}

fn support(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("support").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every command and long option that `--help` names.
fn words_of_the_usage() -> Vec<String> {
    let device = Device::new();
    let usage = device.run(&["--help"]).stdout();
    let options = usage.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let options = options.filter(|word| word.starts_with("--") && word.len() > 2);
    let commands = usage.lines().filter_map(|line| {
        let word = line.strip_prefix("  ")?.split(' ').next()?;
        word.starts_with(|c: char| c.is_ascii_lowercase()).then_some(word)
    });
    options.chain(commands).map(str::to_owned).collect()
}

#[test]
fn the_manual_and_the_shells_know_every_command_and_option() {
    let words = words_of_the_usage();
    assert!(words.contains(&"--stop-before".to_owned()) && words.contains(&"resume".to_owned()));
    let manual = support("man/rota-client.1").replace("\\-", "-");
    for (place, text, dashes) in [
        ("the manual", manual, "--"),
        ("bash", support("completions/rota-client.bash"), "--"),
        ("zsh", support("completions/_rota-client"), "--"),
        ("fish", support("completions/rota-client.fish"), "-l "),
    ] {
        for word in &words {
            let word = word.replacen("--", dashes, 1);
            assert!(text.contains(&word), "{place} does not know {word}");
        }
    }
}

/// As bash completes; zsh and fish need not be there.
#[test]
fn what_is_typed_is_completed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/completions");
    for (typed, expected) in [
        ("res", "resume"),
        ("control-map ''", "set show clear"),
        ("control-map s", "set show"),
        ("control-map set rota-client.b", "rota-client.bash"),
        ("snapshot ''", "dump"),
        ("commit --reb", "--reboot-exit-code"),
    ] {
        let script = format!(
            ". ./rota-client.bash; COMP_WORDS=(rota-client {typed}); \
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _rota_client; echo ${{COMPREPLY[@]}}"
        );
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", &script]).current_dir(&folder).output().unwrap();
        let completed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(completed.trim_end(), expected, "{typed}: {output:?}");
    }
}
