//! A device in a folder: configuration, scripts, modules, and the program that runs there.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rota_artifact::Builder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Device {
    folder: TempDir,
    environment: Vec<(&'static str, OsString)>,
}

impl Device {
    /// A device of type `board` without a server; its one module `test` installs the payload file
    /// `content` as `installed` and notes its calls in `calls`. Files of the name of a call make
    /// that call fail.
    pub(crate) fn new() -> Self {
        let device = Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new() };
        for folder in ["config", "data", "share/identity", "share/inventory", "share/modules/v3"] {
            fs::create_dir_all(device.path(folder)).unwrap();
        }
        device.write("data/device_type", "device_type=board\n");
        device.add_script("share/identity/mender-device-identity", "echo sn=1");
        device.add_script("share/inventory/mender-inventory-test", "echo color=blue");
        let root = device.folder.path().display().to_string();
        device.add_script(
            "share/modules/v3/test",
            &format!(
                r#"cd {root}
                echo "$1" >> calls
                case "$1" in
                ProvidePayloadFileSizes) [ -e wants-sizes ] && echo Yes || true ;;
                SupportsRollback) [ -e no-rollback ] || echo Yes ;;
                NeedsArtifactReboot) [ -e wants-reboot ] && echo Yes || true ;;
                ArtifactInstall)
                    rm -f went-back
                    [ -e installed ] && cp installed previous
                    cp "$2/files/content" installed ;;
                ArtifactRollback)
                    [ -e went-back ] || rm -f installed
                    [ -e previous ] && mv previous installed
                    touch went-back ;;
                esac
                if [ -e "hang-$1" ]; then
                    echo $$ > hanging.new; mv hanging.new hanging
                    while [ -e hanging ]; do sleep 0.1; done
                fi
                if [ -e "fail-$1" ]; then echo "this is why" >&2; exit 1; fi
                exit 0"#
            ),
        );
        device
    }

    /// With a server and intervals of a second.
    pub(crate) fn with_server(url: &str) -> Self {
        let device = Self::new();
        device.configure(&json!({
            "ServerURL": url,
            "UpdatePollIntervalSeconds": 1,
            "InventoryPollIntervalSeconds": 3600,
            "RetryPollIntervalSeconds": 1,
        }));
        device
    }

    pub(crate) fn configure(&self, config: &Value) {
        self.write("config/mender.conf", &config.to_string());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.read("calls").unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub(crate) fn add_script(&self, name: &str, body: &str) {
        self.write(name, &format!("#!/bin/sh\n{body}\n"));
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes an Artifact into the device's folder.
    pub(crate) fn add_artifact(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(&format!("{name}.mender"));
        fs::write(&path, artifact(name, content)).unwrap();
        path
    }

    /// An Artifact for the device's module, of which a script starts a service at the end of its
    /// installation, as init scripts do: one that runs on.
    pub(crate) fn artifact_with_service(&self, name: &str, content: &str) -> Vec<u8> {
        let pid = self.path("service").display().to_string();
        let script = format!("#!/bin/sh\nsleep 600 >/dev/null 2>&1 &\necho $! > {pid}\n");
        build(
            Builder::module_image("test", name).script("ArtifactInstall_Leave_01", script),
            content,
        )
    }

    /// Ends that service, and says whether it still ran.
    pub(crate) fn end_service(&self) -> bool {
        let pid = self.read("service").unwrap().trim().parse().unwrap();
        // One that has ended but that nobody has asked about has no command line.
        let command_line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !command_line.is_empty() && kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).is_ok()
    }

    /// For the programs that the device runs from now on.
    pub(crate) fn set_environment(&mut self, name: &'static str, value: impl Into<OsString>) {
        self.environment.push((name, value.into()));
    }

    /// The program with the device's folders.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rota-client"));
        for proxy in ["http_proxy", "https_proxy", "no_proxy"] {
            command.env_remove(proxy).env_remove(proxy.to_uppercase());
        }
        command
            .arg("--config-dir")
            .arg(self.path("config"))
            .arg("--share-dir")
            .arg(self.path("share"))
            .arg("--data")
            .arg(self.path("data"))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        self.command().args(arguments).output().unwrap().into()
    }

    /// Runs a command and kills it after a while, if it still runs then, as a power cut would.
    pub(crate) fn run_and_kill(&self, arguments: &[&str], after: Duration) {
        let mut command = self.command();
        let mut child =
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a command, and ends it as a power cut would when its module hangs.
    pub(crate) fn run_until_it_hangs(&self, arguments: &[&str]) {
        let mut child = self.command().args(arguments).stdout(Stdio::null()).spawn().unwrap();
        self.wait_for("hanging");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn start_daemon(&self) -> Daemon {
        self.start(self.command().arg("daemon"))
    }

    /// Starts a daemon by another program.
    pub(crate) fn start(&self, command: &mut Command) -> Daemon {
        let log =
            fs::File::options().create(true).append(true).open(self.path("daemon.log")).unwrap();
        let child = command.stderr(log).spawn().unwrap();
        Daemon { child, log: self.path("daemon.log") }
    }

    /// Waits for a daemon to log a text.
    #[cfg(any(feature = "dbus", feature = "pkcs11"))]
    pub(crate) fn wait_for_log(&self, text: &str) {
        let started = Instant::now();
        while !self.read("daemon.log").is_some_and(|log| log.contains(text)) {
            let log = self.read("daemon.log");
            assert!(started.elapsed() < PATIENCE, "{text:?} is not logged: {log:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a file to appear.
    pub(crate) fn wait_for(&self, name: &str) {
        let started = Instant::now();
        while !self.path(name).exists() {
            assert!(started.elapsed() < PATIENCE, "{name} does not appear");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// An Artifact for [`Device`]'s module.
pub(crate) fn artifact(name: &str, content: &str) -> Vec<u8> {
    build(Builder::module_image("test", name), content)
}

fn build(artifact: Builder, content: &str) -> Vec<u8> {
    artifact.device_type("board").file_bytes("content", content).to_vec().unwrap()
}

/// A command that has ended.
pub(crate) struct Finished(Output);

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self(output)
    }
}

impl Finished {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self(command.output().unwrap())
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }
}

/// A daemon, ended with the test.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and expects it to end well.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}", show(&self.log));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = io::stderr().write_all(show(&self.log).as_bytes());
        }
    }
}

fn show(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
