//! A device that runs Debian's `mender`: the places that the client has built in are the
//! device's own, in a mount namespace.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rota_e2e::{
    artifact::DEVICE_TYPE,
    device::{Home, configuration, script},
    process::{Process, Program},
    programs,
};
use serde_json::Value;

/// The folders of the device, and where the client looks for them. Update Modules are the
/// package's. The client's own data, in `var`, is the one place that it can be told.
const PLACES: [(&str, &str); 3] = [
    ("etc", "/etc/mender"),
    ("identity", "/usr/share/mender/identity"),
    ("inventory", "/usr/share/mender/inventory"),
];

/// Binds the device's folders over the machine's, then becomes the client. Arguments: the
/// client, the device's folder, then pairs as in [`PLACES`].
const START: &str = r#"
client=$1 device=$2
shift 2
while [ $# -gt 0 ]; do
    mount --bind "$device/$1" "$2"
    shift 2
done
exec "$client" --no-syslog --data "$device/var" daemon
"#;

/// The release that a new device says it has.
pub(crate) const FIRST_RELEASE: &str = "as-delivered";

/// A device's folder, and its client when it is switched on.
#[derive(Debug)]
pub(crate) struct MenderDevice {
    folder: PathBuf,
    program: Program,
    process: Option<Process>,
}

impl MenderDevice {
    /// Lays out a new device below `folder`; `serial` is its identity.
    pub(crate) fn lay_out(folder: &Path, serial: usize, home: &Home) -> Result<Self> {
        for place in PLACES.map(|(place, _)| place).into_iter().chain(["var"]) {
            let path = folder.join(place);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        fs::write(folder.join("etc/artifact_info"), format!("artifact_name={FIRST_RELEASE}\n"))?;
        fs::write(folder.join("var/device_type"), format!("device_type={DEVICE_TYPE}\n"))?;
        script(
            &folder.join("identity/mender-device-identity"),
            &format!("#!/bin/sh\necho serial={serial}\n"),
        )?;
        script(
            &folder.join("inventory/mender-inventory-story"),
            "#!/bin/sh\necho story=interop\necho port=8080\necho port=8443\n",
        )?;
        let mut program = in_namespace(folder)?
            .argument("sh")
            .flag("-ec", START)
            .argument("mender-device")
            .argument(programs::theirs("mender", "mender-client")?)
            .argument(folder);
        for (place, target) in PLACES {
            program = program.flag(place, target);
        }
        let device = Self { folder: folder.to_owned(), program, process: None };
        device.set_home(home)?;
        Ok(device)
    }

    /// Puts `rota-client` in the place of `mender`; takes effect when the client is started. It
    /// finds the old one's files where a device has them.
    pub(crate) fn replace_client(&mut self) -> Result<()> {
        let modules = self.folder.join("modules");
        if !modules.exists() {
            symlink("/usr/share/mender/modules", &modules).context("cannot link the modules")?;
        }
        let client = programs::ours("rota-client")?;
        self.program = Program::new("rota-client", client, &self.folder)
            .environment("MENDER_CONF_DIR", &self.folder.join("etc").to_string_lossy())
            .environment("MENDER_DATA_DIR", &self.folder.to_string_lossy())
            .environment("MENDER_DATASTORE_DIR", &self.folder.join("var").to_string_lossy())
            .argument("daemon");
        Ok(())
    }

    /// Says where its platform is; takes effect when the client is started.
    pub(crate) fn set_home(&self, home: &Home) -> Result<()> {
        fs::write(self.folder.join("etc/mender.conf"), configuration(home)?)
            .context("cannot write mender.conf")
    }

    /// Adds one key to `mender.conf`; takes effect when the client is started.
    pub(crate) fn configure(&self, key: &str, value: Value) -> Result<()> {
        add_key(&self.folder.join("etc/mender.conf"), key, value)
    }

    /// Switches it on.
    pub(crate) fn switch_on(&mut self) -> Result<()> {
        self.process = Some(self.program.start()?);
        Ok(())
    }

    /// Switches it off, without warning.
    pub(crate) fn switch_off(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Where its updates put their files.
    pub(crate) fn software(&self) -> PathBuf {
        self.folder.join("software")
    }

    /// What its client printed so far.
    pub(crate) fn printed(&self) -> String {
        let printed = self.process.as_ref().map(Process::printed);
        printed.and_then(Result::ok).unwrap_or_default()
    }
}

/// Adds a key to a `mender.conf`.
pub(crate) fn add_key(path: &Path, key: &str, value: Value) -> Result<()> {
    let text = fs::read_to_string(path).context("cannot read mender.conf")?;
    let mut configuration: Value = serde_json::from_str(&text)?;
    configuration[key] = value;
    fs::write(path, configuration.to_string()).context("cannot write mender.conf")
}

/// A program with mounts of its own, if this machine lets us have such.
fn in_namespace(folder: &Path) -> Result<Program> {
    let unshare = programs::theirs("unshare", "util-linux")?;
    let mounting = Program::new("mender", unshare, folder).argument("--mount");
    // Who may not mount may do so where they are root: in a user namespace.
    let as_root = mounting.clone().argument("--map-root-user");
    let mut refusal = Vec::new();
    for program in [mounting, as_root] {
        let trial = program.clone().argument("mount").flag("--bind", folder).argument(folder);
        let output = trial.output()?;
        if output.status.success() {
            return Ok(program);
        }
        refusal = output.stderr;
    }
    let reason = String::from_utf8_lossy(&refusal);
    bail!(
        "Debian's mender looks for its files in fixed places, so a test device needs mounts of its \
         own, and this machine allows none ({}); run the tests as root, or as a user who may \
         make user namespaces, and in no container that forbids mounting",
        reason.trim()
    )
}
