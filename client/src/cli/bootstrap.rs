//! `bootstrap`: the device's key, and a first word with the server.

use anyhow::bail;
use rota_client::{keys, log::chain};

use super::{Device, Exit, signal};

/// That the server does not accept the device yet is what one expects, so it is no failure.
pub(super) fn run(device: &mut Device, force: bool) -> anyhow::Result<Exit> {
    device.prepare()?;
    signal::listen(&device.wake)?;
    if let Some(key) = &device.settings.auth_private_key {
        if force {
            bail!("the key {key} is set in the configuration and is never replaced");
        }
        keys::load(key, &device.log)?;
    } else if force {
        keys::replace(&device.paths.own_key(), &device.log)?;
    } else {
        keys::load_or_create(&device.paths.own_key().into(), &device.log)?;
    }
    if device.settings.servers.is_empty() {
        device.log.info("no server is configured; only the key was made");
        return Ok(Exit::Success);
    }
    if let Err(error) = device.authority().authenticate() {
        device.log.warning(chain(&error));
    }
    Ok(Exit::Success)
}
