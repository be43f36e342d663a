//! `daemon`: runs until it is told to stop.

use std::io;

use anyhow::bail;
#[cfg(feature = "dbus")]
use rota_client::control::LocalMaps;
use rota_client::records::Software;

use super::{Device, Exit, bootstrap, presence::Presence, signal};

pub(super) fn run(device: &mut Device, force_bootstrap: bool) -> anyhow::Result<Exit> {
    signal::listen(&device.wake)?;
    // An update that broke the file system must still be rolled back.
    let software = device.prepare().unwrap_or_else(|error| {
        device.log.error(format_args!("{error:#}"));
        Software::default()
    });
    device.presence = take_presence(device)?;
    if force_bootstrap {
        bootstrap::make_key(device, true)?;
    }
    device.log.info(format_args!(
        "rota-client {} runs {}",
        env!("CARGO_PKG_VERSION"),
        software.artifact_name
    ));
    #[cfg(feature = "dbus")]
    if device.settings.dbus_enabled {
        let maps = LocalMaps::new(&device.paths, &device.settings, &device.wake);
        let (authority, log) = (device.authority(), &device.log);
        if let Err(error) = rota_client::dbus::start(&authority, maps, &device.wake, log) {
            log.warning(format_args!("no D-Bus: {error}"));
        }
    }
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is not general enough over the runner's lifetime"
    )]
    device.with_runner(|runner| runner.run_daemon())?;
    device.log.info("stopped");
    Ok(Exit::Success)
}

/// One daemon per data folder. Where no file can be written, the daemon runs without: only commands
/// cannot see it.
fn take_presence(device: &Device) -> anyhow::Result<Option<Presence>> {
    let path = device.paths.daemon_lock();
    match Presence::take(&path) {
        Ok(presence) => Ok(Some(presence)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            bail!("another daemon runs with the data folder {}", device.paths.data.display());
        }
        Err(error) => {
            let path = path.display();
            device.log.warning(format_args!("commands cannot reach this daemon: {path}: {error}"));
            Ok(None)
        }
    }
}
