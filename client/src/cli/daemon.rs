//! `daemon`: runs until it is told to stop.

use std::{
    fs::{File, TryLockError},
    io::Write,
    process,
};

use anyhow::{Context, bail};
use rota_client::config::Paths;

use super::{Device, Exit, signal};

pub(super) fn run(device: &mut Device) -> anyhow::Result<Exit> {
    let software = device.prepare()?;
    let _held_while_running = lock(&device.paths)?;
    signal::listen(&device.wake)?;
    device.log.info(format_args!(
        "rota-client {} runs {}",
        env!("CARGO_PKG_VERSION"),
        software.artifact_name
    ));
    device.with_runner(|runner| runner.run_daemon())??;
    device.log.info("stopped");
    Ok(Exit::Success)
}

/// One daemon per data folder; its process id stands in the locked file.
fn lock(paths: &Paths) -> anyhow::Result<File> {
    let path = paths.daemon_lock();
    let open = || File::options().create(true).truncate(false).write(true).open(&path);
    let mut file = open().with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another daemon runs with the data folder {}", paths.data.display());
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", process::id()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(file)
}
