//! Debian's kernel for virtual machines: fetched once with apt-get, never installed.
//!
//! Its drivers for `NVMe` disks and ext4 are built in, so it needs no initramfs; those for the
//! network and FAT are loaded by the system itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::tools::{ask, run, tool};

/// The package that depends on the newest kernel of Debian's release.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// What a system loads, each after those that it needs.
const MODULES: [&str; 12] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "fat",
    "vfat",
    "nls_cp437",
    "nls_ascii",
];

/// A kernel and the drivers that it has as modules, in the order in which they are loaded.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: Vec<PathBuf>,
}

/// The kernel in the cache, which is filled if it is empty.
pub(super) fn provide(cache: &Path) -> Result<Kernel> {
    let folder = cache.join("kernel");
    if !folder.is_dir() {
        fs::create_dir_all(cache)?;
        // Complete or not there: an interrupted run must not leave half of it.
        let unpacked = tempfile::tempdir_in(cache)?;
        fetch(unpacked.path())?;
        fs::rename(unpacked.keep(), &folder)?;
    }
    let modules = MODULES.iter().map(|name| folder.join(format!("{name}.ko"))).collect();
    Ok(Kernel { image: folder.join("vmlinuz"), modules })
}

/// Downloads the package and takes out of it what is needed.
fn fetch(into: &Path) -> Result<()> {
    let package = newest()?;
    let place = tempfile::tempdir()?;
    run(tool("apt-get", "apt", ["download", "-qq", &package])?.current_dir(place.path()))
        .context("cannot download Debian's kernel; `apt-get update` may help")?;
    let archive = fs::read_dir(place.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download left no package")?;
    let tree = place.path().join("tree");
    run(tool("dpkg-deb", "dpkg", ["-x"])?.arg(archive).arg(&tree))?;
    let version = package.trim_start_matches("linux-image-");
    fs::copy(tree.join(format!("boot/vmlinuz-{version}")), into.join("vmlinuz"))
        .context("the package holds no kernel")?;
    for name in MODULES {
        let file = format!("{name}.ko");
        let found = find(&tree.join("lib/modules"), &file)?
            .with_context(|| format!("the package holds no {file}"))?;
        fs::copy(found, into.join(file))?;
    }
    Ok(())
}

/// The package of the newest kernel.
fn newest() -> Result<String> {
    let printed = ask(&mut tool("apt-cache", "apt", ["depends", PACKAGE])?)
        .with_context(|| format!("apt knows no {PACKAGE}; run `apt-get update`"))?;
    let depends = printed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let Some(kernel) = depends.map(str::trim).find(|name| name.starts_with("linux-image-")) else {
        bail!("{PACKAGE} depends on no kernel: {printed}");
    };
    Ok(kernel.to_owned())
}

/// A file of this name somewhere below a folder.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}
