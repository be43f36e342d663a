//! `control-map`: what may hold updates on this device.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Read},
};

use anyhow::Context;
use rota_client::{
    clock::Moment,
    control::{ControlTimes, clear_maps, set_map},
    journal::Store,
};
use serde_json::Value;

use super::{Device, Exit, say, signal};

/// Far more than a map needs.
const MAX_BYTES: u64 = 1 << 20;

/// What to do with the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Maps {
    /// From a file, or from standard input: `-`.
    Set(OsString),
    Show,
    Clear,
}

pub(super) fn run(device: &mut Device, maps: &Maps) -> anyhow::Result<Exit> {
    device.prepare()?;
    let times = ControlTimes::new(&device.settings);
    match maps {
        Maps::Set(file) => {
            let json = read(file)?;
            let renewal = set_map(&mut device.store, &json, &Moment::now(), &times)?;
            say(&format!("To keep it, set it again within {} seconds.", renewal.as_secs()));
            tell_daemon(device);
        }
        Maps::Clear => {
            clear_maps(&mut device.store)?;
            tell_daemon(device);
        }
        Maps::Show => {
            let controls = device.store.read()?.controls;
            for (map, left) in controls.maps(&Moment::now(), &times) {
                let mut shown = Value::from(map.clone());
                shown["expires_in_seconds"] =
                    left.map(|left| left.as_secs()).unwrap_or_default().into();
                say(&shown.to_string());
            }
        }
    }
    Ok(Exit::Success)
}

/// A daemon that waits looks again. Without one, nothing waits.
fn tell_daemon(device: &Device) {
    if let Err(error) = signal::check_update(device) {
        device.log.debug(format_args!("{error:#}"));
    }
}

fn read(file: &OsStr) -> anyhow::Result<String> {
    let mut json = String::new();
    let place = file.display();
    if file == "-" {
        io::stdin().take(MAX_BYTES).read_to_string(&mut json).context("cannot read the map")?;
    } else {
        let open = std::fs::File::open(file);
        let open = open.with_context(|| format!("cannot open the control map {place}"))?;
        let read = open.take(MAX_BYTES).read_to_string(&mut json);
        read.with_context(|| format!("cannot read the control map {place}"))?;
    }
    Ok(json)
}
