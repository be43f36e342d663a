//! Artifacts for the stories, built with `rota-artifact` as an operator would.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process::Program, programs};

/// The device type of every device in the stories.
pub const DEVICE_TYPE: &str = "story-board";

/// The payload type of [`APP_MODULE`].
pub const APP_TYPE: &str = "app";

/// The Update Module that every story device has; see its own comment.
pub const APP_MODULE: &str = include_str!("../assets/app");

/// One version of the story's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Its self-check passes everywhere.
    Sound,
    /// Its self-check fails on devices with an odd serial number.
    BrokenOnOddDevices,
    /// Its self-check fails everywhere.
    Broken,
}

/// The program's text: what lies on a device's disk after the update.
pub fn app(version: &str, health: Health) -> String {
    let check = match health {
        Health::Sound => "exit 0",
        Health::BrokenOnOddDevices => {
            "read -r serial <\"$DEVICE/serial\"\n[ $((serial % 2)) -eq 0 ] || { echo \"app: cannot run on device $serial\" >&2; exit 1; }"
        }
        Health::Broken => "echo \"app: cannot run here\" >&2\nexit 1",
    };
    format!("#!/bin/sh\n# version {version}\n{check}\n")
}

/// Writes an Artifact named `name` with the given version of the program; gives its path.
pub fn build_app(folder: &Path, name: &str, version: &str, health: Health) -> Result<PathBuf> {
    let payload = folder.join(format!("{name}.payload"));
    fs::create_dir_all(&payload)?;
    let program = payload.join("app");
    fs::write(&program, app(version, health)).context("cannot write the payload")?;
    build_module_image(folder, name, APP_TYPE, &[program])
}

/// Writes an Artifact of any payload type; gives its path.
pub fn build_module_image(
    folder: &Path,
    name: &str,
    payload_type: &str,
    files: &[PathBuf],
) -> Result<PathBuf> {
    let artifact = folder.join(format!("{name}.mender"));
    let mut program = Program::new("rota-artifact", programs::ours("rota-artifact")?, folder)
        .argument("write")
        .argument("module-image")
        .flag("--type", payload_type)
        .flag("--artifact-name", name)
        .flag("--device-type", DEVICE_TYPE)
        .flag("--output-path", &artifact);
    for file in files {
        program = program.flag("--file", file);
    }
    program.run()?;
    Ok(artifact)
}
