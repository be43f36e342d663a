//! What `postmaster.pid` says, and dealing with a server that outlived its owner.

use std::{fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, sleep};

/// How often a stopping server is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The process that serves `data`, if one does. The file alone proves nothing: after a crash
/// its number may belong to anybody, so the process must also work in that directory.
pub(super) fn running(data: &Path) -> Option<Pid> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = Pid::from_raw(file.lines().next()?.trim().parse().ok()?)?;
    let works_in = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).ok()?;
    (works_in == fs::canonicalize(data).ok()?).then_some(pid)
}

/// `Some` as soon as the server of `data` takes connections: it says so in the eighth line.
pub(super) fn ready(data: &Path) -> Option<()> {
    running(data)?;
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    (file.lines().nth(7)?.trim() == "ready").then_some(())
}

/// Stops the server of `data`, if there is one: in an orderly way for as long as `patience`
/// lasts, then at once.
pub(super) async fn stop(data: &Path, patience: Duration) {
    let Some(pid) = running(data) else { return };
    tracing::info!(pid = %pid.as_raw_nonzero(), data = %data.display(), "stopping a Postgres that outlived its owner");
    for (signal, patience) in [(Signal::INT, patience), (Signal::QUIT, Duration::from_secs(10))] {
        if !patience.is_zero() || signal == Signal::QUIT {
            // Fails only when the process is gone already.
            let _ = kill_process(pid, signal);
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if test_kill_process(pid).is_err() || running(data).is_none() {
                return;
            }
            sleep(LOOK).await;
        }
    }
}
