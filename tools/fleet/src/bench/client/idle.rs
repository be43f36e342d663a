//! The daemon at rest, after it has authenticated, asked for an update and sent its inventory.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use super::server::Server;
use crate::{measure, report::Table};

const START_LIMIT: Duration = Duration::from_mins(1);

/// How often it is looked whether the daemon has come to rest.
const LOOK: Duration = Duration::from_secs(1);

/// Measures memory, CPU time and wake-ups.
pub(crate) async fn measure(
    table: &mut Table,
    client: &Path,
    server: &Server,
    seconds: u64,
) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rota-bench").tempdir()?;
    let daemon = Daemon::start(client, folder.path(), server)?;
    daemon.settle(server).await?;

    let (woken, cpu) = (daemon.wake_ups()?, measure::cpu_of_tree(daemon.id())?);
    sleep(Duration::from_secs(seconds)).await;
    let woken = daemon.wake_ups()? - woken;
    let cpu = measure::cpu_of_tree(daemon.id())? - cpu;
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let hours = seconds as f64 / 3600.0;

    table.absolute("client, idle: resident memory", daemon.memory("Rss:")?, "MB");
    table.absolute("client, idle: of it its own", daemon.memory("Private_Dirty:")?, "MB");
    table.absolute("client, idle: wake-ups", woken / hours, "an hour");
    table.absolute("client, idle: CPU", cpu / hours, "s an hour");
    Ok(())
}

struct Daemon(Child);

impl Daemon {
    fn start(client: &Path, folder: &Path, server: &Server) -> Result<Self> {
        let place = |name: &str| -> Result<_> {
            let path = folder.join(name);
            fs::create_dir_all(&path)?;
            Ok(path)
        };
        let (config, share, data) = (place("etc")?, place("share")?, place("var")?);
        let settings = serde_json::json!({
            "ServerURL": server.url(),
            "ServerCertificate": server.authority(),
        });
        fs::write(config.join("mender.conf"), settings.to_string())?;
        fs::write(data.join("device_type"), "device_type=bench-board\n")?;
        script(&share.join("identity/mender-device-identity"), "echo mac=02:00:00:00:00:01")?;
        script(&share.join("inventory/mender-inventory-host"), "echo hostname=bench")?;
        let child = Command::new(client)
            .arg("daemon")
            .env("MENDER_CONF_DIR", &config)
            .env("MENDER_DATA_DIR", &share)
            .env("MENDER_DATASTORE_DIR", &data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", client.display()))?;
        Ok(Self(child))
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it has said everything to the server and no longer wakes up.
    async fn settle(&self, server: &Server) -> Result<()> {
        let end = Instant::now() + START_LIMIT;
        let mut before = self.wake_ups()?;
        loop {
            sleep(LOOK).await;
            let now = self.wake_ups()?;
            if server.was_visited() && now.total_cmp(&before).is_eq() {
                return Ok(());
            }
            before = now;
            ensure!(Instant::now() < end, "the client did not come to rest");
        }
    }

    /// How often its threads have gone to sleep of their own accord, and so have woken up.
    fn wake_ups(&self) -> Result<f64> {
        let mut sum = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            sum += field(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    /// A line of its memory, in megabytes.
    fn memory(&self, name: &str) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id()))?;
        Ok(field(&rollup, name)? * 1024.0 / 1e6)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The number behind a name at the start of a line, as in the files of `/proc`.
fn field(text: &str, name: &str) -> Result<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("no {name} in /proc"))
}

fn script(path: &Path, line: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a script is in a folder")?)?;
    fs::write(path, format!("#!/bin/sh\n{line}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
