//! Signals: those that the client listens to, and those that its commands send to the daemon.

use std::{
    fs::{self, File, TryLockError},
    thread,
};

use anyhow::{Context, bail};
use rota_client::{machine::Task, wake::Wake};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use super::{Device, Exit};

/// From now on TERM, INT and QUIT stop the client, USR1 and USR2 make its tasks due.
pub(super) fn listen(wake: &Wake) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2])
        .context("cannot listen to signals")?;
    let wake = wake.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => wake.request(Task::Poll),
                SIGUSR2 => wake.request(Task::Inventory),
                _ => wake.stop(),
            }
        }
    });
    Ok(())
}

pub(super) fn check_update(device: &Device) -> anyhow::Result<Exit> {
    send(device, Signal::USR1)
}

pub(super) fn send_inventory(device: &Device) -> anyhow::Result<Exit> {
    send(device, Signal::USR2)
}

/// A daemon holds a lock on the file with its process id, so that an id of old is not taken for
/// that of a daemon.
fn send(device: &Device, signal: Signal) -> anyhow::Result<Exit> {
    let path = device.paths.daemon_lock();
    let is_held = File::open(&path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
    if !is_held {
        bail!("no daemon is running with the data folder {}", device.paths.data.display());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("{} holds no process id", path.display()))?;
    kill_process(pid, signal).context("cannot send a signal to the daemon")?;
    Ok(Exit::Success)
}
