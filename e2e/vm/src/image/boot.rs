//! The boot partition and GRUB: the client's own boot script, started by a few lines that only
//! this board needs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::disk::BOOT;
use crate::tools::{ask, run, tool};

/// The board's part, with a place for the watchdog's time.
const BOARD: &str = include_str!("../../assets/boot/grub.cfg");
/// The client's part, as a device's maker installs it.
const SCRIPT: &str = include_str!("../../../../client/support/grub/rota-ab.cfg");
const MAKE_ENVIRONMENT: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../client/support/grub/rota-grubenv");

/// GRUB for machines with a BIOS.
const GRUB: &str = "/usr/lib/grub/i386-pc";

/// What GRUB can do from its own core, which has no folder of modules.
const MODULES: [&str; 22] = [
    "biosdisk",
    "part_msdos",
    "part_gpt",
    "fat",
    "ext2",
    "normal",
    "configfile",
    "linux",
    "boot",
    "test",
    "echo",
    "regexp",
    "loadenv",
    "probe",
    "true",
    "reboot",
    "sleep",
    "serial",
    "terminal",
    "setpci",
    "memrw",
    "multiboot",
];

/// Where PCs' memory goes on above the first megabyte, and where GRUB loads kernels to.
const UPPER_MEMORY: u32 = 0x10_0000;
/// A page of memory.
const PAGE_BYTES: u32 = 0x1000;

/// The folder of both copies of GRUB's environment, on the boot partition.
const ENVIRONMENT: &str = "grub-mender-grubenv";

/// Its two parts, of which GRUB prefers the first.
const COPIES: [&str; 2] = ["mender_grubenv1", "mender_grubenv2"];

/// What makes a disk start.
pub(super) struct Boot {
    pub(super) first_sector: PathBuf,
    pub(super) core: PathBuf,
    pub(super) partition: PathBuf,
}

pub(super) fn build(folder: &Path, watchdog: Duration) -> Result<Boot> {
    let tree = folder.join("boot");
    fs::create_dir_all(tree.join("grub"))?;
    let milliseconds = watchdog.as_millis().to_string();
    fs::write(tree.join("grub/grub.cfg"), BOARD.replace("@MILLISECONDS@", &milliseconds))?;
    fs::write(tree.join("grub/rota-ab.cfg"), SCRIPT)?;
    fs::write(tree.join("grub/page"), page())?;
    let environment = tree.join(ENVIRONMENT);
    run(&mut tool(
        "sh",
        "dash",
        [MAKE_ENVIRONMENT.as_ref(), environment.as_os_str(), "2".as_ref()],
    )?)?;

    let core = folder.join("core.img");
    let mut mkimage = tool("grub-mkimage", "grub-pc-bin", ["-O", "i386-pc", "-d", GRUB])?;
    mkimage.args(["-p", "(hd0,msdos1)/grub", "-o"]).arg(&core).args(MODULES);
    run(&mut mkimage)?;
    let partition = file_system(folder, &tree)?;
    Ok(Boot { first_sector: Path::new(GRUB).join("boot.img"), core, partition })
}

/// A Multiboot kernel that is nothing but its header, and asks for one page of memory;
/// `assets/boot/grub.cfg` says what for.
fn page() -> Vec<u8> {
    const MAGIC: u32 = 0x1bad_b002;
    // It says itself where it goes, as it is no ELF program.
    const FLAGS: u32 = 1 << 16;
    let checksum = 0_u32.wrapping_sub(MAGIC + FLAGS);
    let (header, load, load_end) = (UPPER_MEMORY, UPPER_MEMORY, 0);
    let (memory_end, entry) = (UPPER_MEMORY + PAGE_BYTES, UPPER_MEMORY);
    [MAGIC, FLAGS, checksum, header, load, load_end, memory_end, entry]
        .map(u32::to_le_bytes)
        .concat()
}

/// A FAT file system with what lies in `tree`.
fn file_system(folder: &Path, tree: &Path) -> Result<PathBuf> {
    let image = folder.join("boot.img");
    fs::File::create(&image)?.set_len(BOOT.end - BOOT.start)?;
    let on_image = |name: &str| -> Result<_> {
        let mut command = tool(name, "mtools", ["-i"])?;
        command.arg(&image);
        Ok(command)
    };
    run(on_image("mformat")?.arg("::"))?;
    run(on_image("mcopy")?
        .arg("-s")
        .args(["grub", ENVIRONMENT].map(|name| tree.join(name)))
        .arg("::/"))?;
    Ok(image)
}

/// Has the boot loader of a disk try the system on a partition.
pub(super) fn begin_trial(disk: &Path, folder: &Path, partition: &str) -> Result<()> {
    let environment = folder.join("trial-env");
    let editenv = |arguments: &[&str]| -> Result<()> {
        run(tool("grub-editenv", "grub-common", [&environment])?.args(arguments))?;
        Ok(())
    };
    editenv(&["create"])?;
    let part = format!("mender_boot_part={partition}");
    editenv(&["set", &part, "upgrade_available=1", "bootcount=0"])?;
    for copy in COPIES {
        let at = format!("{}@@{}", disk.display(), BOOT.start);
        let place = format!("::/{ENVIRONMENT}/{copy}/env");
        run(tool("mcopy", "mtools", ["-o", "-i", &at])?.arg(&environment).arg(place))?;
    }
    Ok(())
}

/// What GRUB would go by, from the content of the boot partition: the first copy that is not
/// locked.
pub(crate) fn environment(partition: &[u8]) -> Result<BTreeMap<String, String>> {
    let image = tempfile::NamedTempFile::new()?;
    fs::write(image.path(), partition)?;
    let variables = |file: String| -> Result<BTreeMap<String, String>> {
        let mut mtype = tool("mtype", "mtools", ["-i"])?;
        let text = ask(mtype.arg(image.path()).arg(format!("::/{ENVIRONMENT}/{file}")))?;
        let lines = text.lines().filter_map(|line| line.split_once('='));
        Ok(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    };
    for copy in COPIES {
        let lock = variables(format!("{copy}/lock"))?;
        if lock.get("editing").context("a lock without a value")? == "0" {
            return variables(format!("{copy}/env"));
        }
    }
    bail!("both copies of GRUB's environment are locked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_boot_partition_starts_the_first_system() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let boot = build(folder.path(), Duration::from_secs(30))?;
        let content = fs::read(boot.partition)?;
        assert_eq!(content.len() as u64, BOOT.end - BOOT.start);
        let environment = environment(&content)?;
        let value = |name: &str| environment.get(name).map(String::as_str);
        assert_eq!(value("mender_boot_part"), Some("2"));
        assert_eq!(value("upgrade_available"), Some("0"));
        Ok(())
    }

    /// GRUB only prints an error if it is none, and machines start as slowly as without.
    #[test]
    fn grub_takes_the_page_for_a_kernel() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), page())?;
        run(tool("grub-file", "grub-common", ["--is-x86-multiboot"])?.arg(file.path()))?;
        Ok(())
    }
}
