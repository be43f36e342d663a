//! `show-artifact` and `show-provides`.

use super::{Device, Exit, say};

pub(super) fn artifact(device: &mut Device) -> anyhow::Result<Exit> {
    let software = device.prepare()?;
    say(&software.artifact_name);
    Ok(Exit::Success)
}

pub(super) fn provides(device: &mut Device) -> anyhow::Result<Exit> {
    let all = device.prepare()?.all_provides();
    for (key, value) in all {
        say(&format!("{key}={value}"));
    }
    Ok(Exit::Success)
}
