//! The back-ends as their users meet them: real servers, real crashes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod owner;
mod postgres;
mod s3;

use std::{path::Path, time::Duration};

/// The process that `postmaster.pid` names, while it lives.
fn postmaster(dir: &Path) -> Option<u32> {
    let file = std::fs::read_to_string(dir.join("data/postmaster.pid")).ok()?;
    let pid = file.lines().next()?.parse().ok()?;
    is_alive(pid).then_some(pid)
}

/// Whether a process is there and no zombie.
fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

/// Waits until something is so; fails after half a minute.
async fn eventually(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok(), "{what}");
}

/// A directory that the account Postgres runs as can reach.
fn tempdir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}
