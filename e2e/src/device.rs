//! A device: a real client process in a folder of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{
    artifact::{APP_MODULE, APP_TYPE, DEVICE_TYPE},
    process::{Process, Program},
    programs,
};

/// What a device has to know of its platform.
#[derive(Debug, Clone)]
pub struct Home {
    /// The gateway's address.
    pub server: String,
    /// The certificate to trust (PEM).
    pub certificate: PathBuf,
    /// The tenant's token; empty for the default tenant.
    pub tenant_token: String,
}

/// A device's folder with everything that a client expects of a machine.
#[derive(Debug)]
pub struct Device {
    folder: PathBuf,
    program: Program,
    process: Option<Process>,
}

impl Device {
    /// Lays out a new device; `serial` is its identity.
    ///
    /// The folder holds `etc/` (mender.conf), `share/` (identity, inventory, modules), `var/`
    /// (what the client keeps) and `software/` (what updates change).
    pub fn lay_out(folder: &Path, serial: usize, home: &Home) -> Result<Self> {
        let etc = folder.join("etc");
        let share = folder.join("share");
        let var = folder.join("var");
        for part in [&etc, &var, &share.join("identity"), &share.join("modules/v3")] {
            fs::create_dir_all(part).with_context(|| format!("cannot make {}", part.display()))?;
        }
        fs::create_dir_all(share.join("inventory"))?;
        fs::write(folder.join("serial"), format!("{serial}\n"))?;
        fs::write(var.join("device_type"), format!("device_type={DEVICE_TYPE}\n"))?;
        script(
            &share.join("identity/mender-device-identity"),
            &format!("#!/bin/sh\necho serial={serial}\n"),
        )?;
        script(
            &share.join("inventory/mender-inventory-story"),
            &format!("#!/bin/sh\necho serial_number={serial}\necho story=app\n"),
        )?;
        script(&share.join("modules/v3").join(APP_TYPE), APP_MODULE)?;
        fs::write(etc.join("mender.conf"), configuration(home)?)?;

        let program = Program::new("rota-client", programs::ours("rota-client")?, folder)
            .environment("MENDER_CONF_DIR", &etc.to_string_lossy())
            .environment("MENDER_DATA_DIR", &share.to_string_lossy())
            .environment("MENDER_DATASTORE_DIR", &var.to_string_lossy())
            .argument("daemon");
        Ok(Self { folder: folder.to_owned(), program, process: None })
    }

    /// Adds an Update Module.
    pub fn add_module(&self, payload_type: &str, text: &str) -> Result<()> {
        script(&self.folder.join("share/modules/v3").join(payload_type), text)
    }

    /// Changes its `mender.conf`, before it is switched on.
    pub fn configure(&self, changes: &Value) -> Result<()> {
        let path = self.folder.join("etc/mender.conf");
        let mut configuration: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let members = configuration.as_object_mut().context("mender.conf is no object")?;
        members.extend(changes.as_object().context("the changes are no object")?.clone());
        Ok(fs::write(path, serde_json::to_string_pretty(&configuration)?)?)
    }

    /// Switches it on.
    pub fn switch_on(&mut self) -> Result<()> {
        self.process = Some(self.program.start()?);
        Ok(())
    }

    /// Cuts its power.
    pub fn cut_power(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Whether the client runs.
    pub fn runs(&mut self) -> Result<bool> {
        self.process.as_mut().map_or(Ok(false), Process::runs)
    }

    /// The program that lies on its disk, if any.
    pub fn software(&self) -> Result<Option<String>> {
        match fs::read_to_string(self.folder.join("software/app")) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot read the device's software"),
        }
    }

    /// The version of the program on its disk: `none` where nothing was installed.
    pub fn version(&self) -> Result<String> {
        let software = self.software()?.unwrap_or_default();
        let line = software.lines().find_map(|line| line.strip_prefix("# version "));
        Ok(line.unwrap_or("none").to_owned())
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its client printed so far.
    pub fn printed(&self) -> Result<String> {
        let log = self.folder.join("rota-client.log");
        fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))
    }
}

/// The `mender.conf` of a device in a hurry: it polls every second.
pub fn configuration(home: &Home) -> Result<String> {
    let mut configuration = json!({
        "ServerURL": home.server,
        "ServerCertificate": home.certificate,
        "UpdatePollIntervalSeconds": 1,
        "InventoryPollIntervalSeconds": 5,
        "RetryPollIntervalSeconds": 1,
        "RetryPollCount": 1000,
        "DBus": { "Enabled": false },
    });
    if !home.tenant_token.is_empty() {
        configuration["TenantToken"] = json!(home.tenant_token);
    }
    Ok(serde_json::to_string_pretty(&configuration)?)
}

/// Writes an executable file.
pub fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))
}
