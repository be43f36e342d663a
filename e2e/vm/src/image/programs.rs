//! The programs of a system: busybox from Debian, and the client as it is shipped, with the
//! libraries that it is linked to.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use rota_e2e::programs;

use crate::tools::{ask, find, run, target, tool};

/// What a system runs.
pub(super) struct Programs {
    pub(super) busybox: PathBuf,
    /// The client as devices get it.
    pub(super) client: PathBuf,
    /// With their places in the system: the client's loader knows them by these.
    pub(super) libraries: Vec<PathBuf>,
}

/// Finds them.
pub(super) fn gather() -> Result<Programs> {
    let busybox = find("busybox", "busybox-static")?;
    if ask(Command::new("ldd").arg(&busybox)).is_ok_and(|printed| printed.contains("=>")) {
        bail!("{} is linked dynamically; install busybox-static", busybox.display());
    }
    let client = target()?.join("client/client/rota-client");
    ensure!(
        client.is_file(),
        "{} is not built; `make e2e-vm` builds it with the profile `client`",
        client.display()
    );
    let libraries = libraries(&client)?;
    Ok(Programs { busybox, client, libraries })
}

/// Runs `rota-artifact write`.
pub(super) fn artifact<'a>(arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<()> {
    run(Command::new(programs::ours("rota-artifact")?).arg("write").args(arguments))?;
    Ok(())
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or only the path for the loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let printed = ask(tool("ldd", "libc-bin", [program])?.env("LC_ALL", "C"))?;
    let paths =
        printed.lines().flat_map(str::split_whitespace).filter(|word| word.starts_with('/'));
    let libraries: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    for library in &libraries {
        fs::metadata(library).with_context(|| format!("ldd printed: {printed}"))?;
    }
    Ok(libraries)
}
