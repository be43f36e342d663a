//! `bootstrap`: the device's key, and a first word with the server. And the daemon of
//! `mender-auth`, which has nothing else to do here.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::bail;
use rota_client::{config::DeviceKeyPlace, keys, log::chain};

use super::{Device, Exit, signal};

/// How long the server may take; as long as Mender's client waits.
const LIMIT: Duration = Duration::from_secs(30);

/// Between looks whether to stop.
const LONG: Duration = Duration::from_hours(24);

/// That the server does not accept the device yet is what one expects, so it is no failure.
pub(super) fn run(device: &mut Device, force: bool) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    make_key(device, force)?;
    if device.settings.servers.is_empty() {
        device.log.info("no server is configured; only the key was made");
        return Ok(Exit::Success);
    }
    let authority = device.authority();
    let (sender, answer) = mpsc::sync_channel(1);
    // A server that says nothing keeps this thread; it ends with the process.
    thread::spawn(move || sender.send(authority.authenticate()));
    match answer.recv_timeout(LIMIT) {
        Ok(Ok(_token)) => device.log.info("the server accepts this device"),
        Ok(Err(error)) => device.log.warning(chain(&error)),
        Err(_) => device
            .log
            .warning(format_args!("the server did not answer within {} s", LIMIT.as_secs())),
    }
    Ok(Exit::Success)
}

/// Makes sure that there is a key; with `force` a new one.
pub(super) fn make_key(device: &Device, force: bool) -> anyhow::Result<()> {
    let DeviceKeyPlace { place, is_static } = device.paths.device_key(&device.settings);
    if is_static {
        if force {
            bail!("the key {place} is set in the configuration and is never replaced");
        }
        keys::load(&place, &device.log)?;
    } else if force {
        keys::replace(&device.paths.own_key(), &device.log)?;
    } else {
        keys::load_or_create(&place, &device.log)?;
    }
    Ok(())
}

/// The daemon that an image with Mender's two units starts besides that of `mender-update`. The
/// latter authenticates by itself, and answers add-ons on D-Bus, so this one waits to be stopped:
/// ending would make init start it again and again.
pub(super) fn wait(device: &mut Device, force: bool) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    if force {
        make_key(device, true)?;
    }
    device.log.info("the daemon of mender-update authenticates by itself; nothing is left to do");
    while device.wake.sleep(LONG).is_ok() {}
    Ok(Exit::Success)
}
