//! What becomes of servers whose owner is killed with -9.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rota_stack::{Postgres, PostgresOptions};
use rustix::process::{Pid, Signal, kill_process};

use crate::{eventually, is_alive, postmaster, tempdir};

/// Starts `rota-stack` and returns it with the address that it prints.
fn stack(arguments: &[&str], dir: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rota-stack"))
        .args(arguments)
        .arg("--dir")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
    (child, address.trim().to_owned())
}

#[tokio::test]
async fn postgres_ends_with_its_owner() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let (mut owner, address) = stack(&["postgres"], &dir);
    assert!(address.starts_with("postgres://rota@localhost/rota?host="), "{address}");
    let pid = postmaster(&dir).unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("Postgres stops", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_server_that_outlived_its_owner_is_stopped_by_the_next_start() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let (mut owner, _) = stack(&["postgres"], &dir);
    let orphan = postmaster(&dir).unwrap();
    // With the watching shell and its reader gone too, nothing but the next start can know.
    let stat = std::fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap();
    let shell = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().to_owned();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let watchers = children.split_whitespace().filter(|pid| **pid != orphan.to_string());
    for pid in watchers.chain([shell.as_str()]) {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(is_alive(orphan), "an orphan");
    let postgres = Postgres::start(PostgresOptions::new(&dir)).await.unwrap();
    assert!(!is_alive(orphan));
    assert_ne!(postmaster(&dir), Some(orphan));
    postgres.stop().await;
}

#[tokio::test]
async fn the_next_start_need_not_wait_for_the_end_of_the_last() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let (mut owner, _) = stack(&["postgres"], &dir);
    owner.kill().unwrap();
    owner.wait().unwrap();
    let postgres = Postgres::start(PostgresOptions::new(&dir)).await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn nats_ends_with_its_owner() {
    let dir = tempdir();
    let (mut owner, address) = stack(&["nats"], dir.path());
    let port = address.strip_prefix("nats://127.0.0.1:").unwrap().to_owned();
    let listens = || std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok();
    assert!(listens());
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("nats-server stops", || !listens()).await;
}
