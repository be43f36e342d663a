//! Signals: those that the client listens to, and those that its commands send to the daemon.

use std::{process::Command, sync::Arc, thread, time::Duration};

use anyhow::{Context, bail};
use rota_client::{
    machine::Task,
    process::{self, Output},
    wake::Wake,
};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::Signals,
};

use super::{Device, Exit, presence};

/// The unit of this client, and that of Mender's where it starts this client.
const UNITS: [&str; 2] = ["rota-client", "mender-updated"];

/// For systemd to answer.
const ANSWER: Duration = Duration::from_secs(10);

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

/// From now on nothing that can be caught ends this process.
pub(super) fn endure() -> anyhow::Result<()> {
    for signal in [SIGTERM, SIGINT, SIGQUIT, SIGHUP] {
        signal_hook::flag::register(signal, Arc::default()).context("cannot catch signals")?;
    }
    Ok(())
}

pub(super) fn check_update(device: &Device) -> anyhow::Result<Exit> {
    send(device, Signal::USR1)
}

pub(super) fn send_inventory(device: &Device) -> anyhow::Result<Exit> {
    send(device, Signal::USR2)
}

fn send(device: &Device, signal: Signal) -> anyhow::Result<Exit> {
    let daemon = presence::look(&device.paths.daemon_lock()).map(|daemon| daemon.pid);
    let Some(pid) = daemon.or_else(|| main_process(device)) else {
        bail!("no daemon is running with the data folder {}", device.paths.data.display());
    };
    kill_process(pid, signal).context("cannot send a signal to the daemon")?;
    Ok(Exit::Success)
}

/// The daemon that systemd has started: one that could not write its lock file.
fn main_process(device: &Device) -> Option<Pid> {
    UNITS.iter().find_map(|unit| {
        let mut command = Command::new("systemctl");
        command.args(["show", "--property=MainPID", unit]);
        let output = Output::Keep { limit_bytes: 1000 };
        // Without systemd there is nothing to be learned here.
        let text = process::run(&mut command, output, ANSWER, &device.wake, &device.log).ok()?;
        let text = String::from_utf8(text).ok()?;
        // 0 stands for a unit that does not run.
        text.trim().strip_prefix("MainPID=")?.parse().ok().and_then(Pid::from_raw)
    })
}
