//! A system: the root file system that an update replaces as a whole.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::json;

use super::{disk::ROOT_A, kernel::Kernel, programs::Programs};
use crate::tools::{ask, run, tool};

/// Where machines of QEMU's user network find the one that runs them.
const HOST: &str = "10.0.2.2";
/// An address that is nobody's (RFC 5737), and no route leads there: attempts fail at once. The three
/// minutes after which the client gives up are those between its attempts.
const NOBODY: &str = "192.0.2.1";

/// Bytes that differ from system to system, so that an update has something to write.
const OWN_BYTES: usize = 4 << 20;

/// One system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct System {
    /// Also its Artifact's name.
    pub(crate) name: &'static str,
    pub(crate) fault: Fault,
}

/// What is wrong with a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Its init ends at once, which is a panic of the kernel.
    KernelPanics,
    /// It stops in the middle of its start.
    InitHangs,
    /// It starts, but looks for the server at an address that nobody has.
    NoServer,
    /// It starts, but does not mount what the boot loader's environment is on.
    NoEnvironment,
}

/// What systems are made of.
pub(super) struct Ingredients {
    pub(super) kernel: Kernel,
    pub(super) programs: Programs,
    pub(super) server: String,
    pub(super) certificate: PathBuf,
}

/// Makes a system's image, as long as its partition; gives its path.
pub(super) fn build(folder: &Path, from: &Ingredients, system: System) -> Result<PathBuf> {
    let tree = folder.join(system.name);
    base(&tree, from)?;
    configuration(&tree, from, system)?;
    own_bytes(&tree.join("usr/share/own"), system)?;
    let image = folder.join(format!("{}.img", system.name));
    // Blocks as large file systems have them: from small ones GRUB is slow to read a kernel. It is
    // never written to, so it needs no journal.
    let size_bytes = ROOT_A.end - ROOT_A.start;
    file_system(&image, &tree, size_bytes, &["-T", "default", "-O", "^has_journal"])?;
    fs::remove_dir_all(&tree)?;
    Ok(image)
}

/// An ext4 file system with what lies in `tree`.
pub(super) fn file_system(
    image: &Path,
    tree: &Path,
    size_bytes: u64,
    options: &[&str],
) -> Result<PathBuf> {
    let size = format!("{}k", size_bytes >> 10);
    let mut mke2fs = tool("mke2fs", "e2fsprogs", ["-q", "-F", "-t", "ext4", "-m", "0"])?;
    run(mke2fs.args(options).arg("-d").arg(tree).arg(image).arg(size))?;
    Ok(image.to_owned())
}

/// What all systems have.
fn base(tree: &Path, from: &Ingredients) -> Result<()> {
    for folder in ["bin", "boot/efi", "data", "dev", "lib/modules", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    for folder in ["sbin", "etc", "usr/bin", "usr/lib/vm", "var/lib"] {
        fs::create_dir_all(tree.join(folder))?;
    }
    fs::copy(&from.kernel.image, tree.join("boot/vmlinuz"))?;
    let mut order = fs::File::create(tree.join("lib/modules/order"))?;
    for module in &from.kernel.modules {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(module, tree.join("lib/modules").join(name))?;
        writeln!(order, "{}", name.display())?;
    }
    let Programs { busybox, client, libraries } = &from.programs;
    fs::copy(busybox, tree.join("bin/busybox"))?;
    for applet in ask(std::process::Command::new(busybox).arg("--list"))?.lines() {
        if applet != "busybox" {
            symlink("busybox", tree.join("bin").join(applet))?;
        }
    }
    fs::copy(client, tree.join("bin/rota-client"))?;
    for library in libraries {
        let place = tree.join(library.strip_prefix("/")?);
        fs::create_dir_all(place.parent().context("a library without a folder")?)?;
        fs::copy(library, place)?;
    }
    symlink("/data/mender", tree.join("var/lib/mender"))?;
    Ok(symlink("/run/lock", tree.join("var/lock"))?)
}

/// What decides how a system behaves.
fn configuration(tree: &Path, from: &Ingredients, system: System) -> Result<()> {
    let System { name, fault } = system;
    let etc = tree.join("etc");
    fs::create_dir_all(etc.join("mender"))?;
    fs::write(etc.join("system"), format!("name={name}\n"))?;
    fs::write(etc.join("inittab"), include_str!("../../assets/guest/inittab"))?;
    let server = if fault == Fault::NoServer { NOBODY } else { HOST };
    // The platform calls itself localhost, which from here is another machine.
    fs::write(etc.join("hosts"), format!("{server} localhost\n"))?;
    fs::copy(&from.certificate, etc.join("mender/server.crt"))?;
    let settings = json!({
        "ServerURL": from.server,
        "ServerCertificate": "/etc/mender/server.crt",
        "RootfsPartA": "/dev/nvme0n1p2",
        "RootfsPartB": "/dev/nvme0n1p3",
        "UpdatePollIntervalSeconds": 2,
        "InventoryPollIntervalSeconds": 3,
        "RetryPollIntervalSeconds": 2,
        // As short as the client allows: it never gives up within three minutes.
        "RetryPollCount": 1,
    });
    fs::write(etc.join("mender/mender.conf"), serde_json::to_vec_pretty(&settings)?)?;
    if fault == Fault::InitHangs {
        fs::write(etc.join("hangs"), "")?;
    }
    if fault == Fault::NoEnvironment {
        fs::write(etc.join("blind"), "")?;
    }
    if fault == Fault::KernelPanics {
        script(&tree.join("sbin/init"), "#!/bin/sh\nexit 1\n")?;
    } else {
        symlink("../bin/busybox", tree.join("sbin/init"))?;
    }
    for (path, text) in [
        ("etc/rc", include_str!("../../assets/guest/rc")),
        ("usr/lib/vm/keeper", include_str!("../../assets/guest/keeper")),
        ("usr/lib/vm/client", include_str!("../../assets/guest/client")),
        (
            "usr/share/mender/identity/mender-device-identity",
            include_str!("../../assets/guest/identity"),
        ),
        (
            "usr/share/mender/inventory/mender-inventory-vm",
            include_str!("../../assets/guest/inventory"),
        ),
    ] {
        script(&tree.join(path), text)?;
    }
    Ok(())
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a script without a folder")?)?;
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// The same bytes for the same name, so that a run can be repeated.
fn own_bytes(path: &Path, system: System) -> Result<()> {
    let mut seed = [0; 32];
    for (to, byte) in seed.iter_mut().zip(system.name.bytes()) {
        *to = byte;
    }
    let mut bytes = vec![0; OWN_BYTES];
    SmallRng::from_seed(seed).fill_bytes(&mut bytes);
    Ok(fs::write(path, bytes)?)
}
