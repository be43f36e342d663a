//! A data partition that cannot be written to.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use crate::{
    daemon::{Rota, has_status, statuses},
    device::{Device, Finished, artifact},
};

/// Runs its arguments behind the first where the folder that is the first cannot be written to.
const READ_ONLY: &str = r#"
    mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 125
    touch "$0/probe" 2>/dev/null && exit 125
    cd "$0" && exec "$@""#;

/// The command in a mount namespace of its own, in which the folder cannot be written to.
fn on_read_only(folder: &Path, command: &Command) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--user", "--map-root-user", "--mount", "sh", "-c", READ_ONLY]);
    wrapped.arg(folder).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped.stdin(Stdio::null());
    wrapped
}

/// Some systems let nobody but root have such a namespace, and some containers nobody at all.
fn must_be_possible(device: &Device) {
    let outcome = on_read_only(&device.path("data"), &Command::new("true")).status();
    assert!(
        outcome.as_ref().is_ok_and(ExitStatus::success),
        "no file system can be made read-only here ({outcome:?}): allow user namespaces, or leave \
         these tests out: cargo test -p rota-client -- --skip read_only:: --skip mounts::"
    );
}

#[test]
fn a_deployment_to_a_device_that_can_write_nothing_fails_and_is_reported() {
    let rota = Rota::default();
    let server = rota.start();
    let device = Device::with_server(&server.url());
    must_be_possible(&device);
    assert_eq!(device.run(&["bootstrap"]).code(), Some(0));
    rota.deploy_bytes(artifact("new", "content"));
    let daemon =
        device.start(&mut on_read_only(&device.path("data"), device.command().arg("daemon")));
    server.wait_until("the failure", |requests| has_status(requests, "failure"));
    server.wait_until("another poll", |requests| {
        let failed = requests.iter().position(|r| has_status(std::slice::from_ref(r), "failure"));
        requests[failed.unwrap_or_default()..].iter().any(|r| r.path.ends_with("/next"))
    });
    daemon.stop();
    assert_eq!(statuses(&server.requests()), ["downloading", "failure"]);
    assert_eq!(device.calls(), [""; 0]);
}

#[test]
fn where_nothing_can_be_written_the_claim_of_another_process_still_counts() {
    let device = Device::new();
    must_be_possible(&device);
    let commit = || {
        let command = on_read_only(&device.path("data"), device.command().arg("commit"));
        let ended = Finished::of(&mut { command });
        (ended.code(), ended.stderr())
    };
    assert_eq!(device.run(&["commit"]).code(), Some(2), "no update is in progress");
    let claim = device.path("data/rota-update.lock");
    let held = File::options().write(true).open(&claim).unwrap();
    held.try_lock().unwrap();
    let (code, problem) = commit();
    assert_eq!(code, Some(1));
    assert!(problem.contains("another update is in progress"), "{problem}");
    drop(held);
    assert_eq!(commit().0, Some(2));
    fs::remove_file(claim).unwrap();
    assert_eq!(commit().0, Some(2), "where there is no claim, nobody can make one");
}
