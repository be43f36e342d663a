//! Disks for machines, made from Debian's packages and our own programs, without mounting
//! anything: a boot partition with GRUB, two root partitions, one for data.

mod boot;
mod disk;
mod kernel;
mod programs;
mod root;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) use boot::environment;
pub(crate) use disk::{BOOT, DATA, ROOT_A, ROOT_B};
pub(crate) use root::{Fault, System};

/// The device type of every machine.
pub(crate) const DEVICE_TYPE: &str = "vm";

/// What the first system is called; the others are named by their Artifacts.
pub(crate) const FACTORY: &str = "factory";

/// Images of disks.
pub(crate) struct Disks {
    /// A new machine's.
    pub(crate) factory: PathBuf,
    /// The same with the system on the second root partition, and about to try one on the first,
    /// where there is none.
    pub(crate) trial: PathBuf,
}

/// What all images are made of.
pub(crate) struct Workshop {
    folder: PathBuf,
    ingredients: root::Ingredients,
}

impl Workshop {
    /// Gathers what images need; `cache` keeps Debian's kernel from one run to the next.
    ///
    /// `server` is the platform's address, with `localhost` for the machine that runs the
    /// machines, and `certificate` what they are to trust.
    pub(crate) fn open(
        folder: &Path,
        cache: &Path,
        server: &str,
        certificate: &Path,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let ingredients = root::Ingredients {
            kernel: kernel::provide(cache).context("no kernel")?,
            programs: programs::gather().context("no programs")?,
            server: server.to_owned(),
            certificate: certificate.to_owned(),
        };
        Ok(Self { folder: folder.to_owned(), ingredients })
    }

    /// The Artifact of a system; gives its path.
    pub(crate) fn artifact(&self, system: System) -> Result<PathBuf> {
        let image = self.root(system)?;
        let artifact = self.folder.join(format!("{}.mender", system.name));
        programs::artifact([
            "rootfs-image".as_ref(),
            "--artifact-name".as_ref(),
            system.name.as_ref(),
            "--device-type".as_ref(),
            DEVICE_TYPE.as_ref(),
            "--no-progress".as_ref(),
            // What costs an emulated device least.
            "--compression".as_ref(),
            "zstd".as_ref(),
            "--compression-level".as_ref(),
            "1".as_ref(),
            "--file".as_ref(),
            image.as_os_str(),
            "--output-path".as_ref(),
            artifact.as_os_str(),
        ])?;
        std::fs::remove_file(&image)?;
        Ok(artifact)
    }

    /// The disks that machines begin with, whose boot loader sets the watchdog to this time.
    pub(crate) fn disks(&self, watchdog: std::time::Duration) -> Result<Disks> {
        let system = self.root(System { name: FACTORY, fault: Fault::None })?;
        let boot = boot::build(&self.folder, watchdog).context("cannot make the boot partition")?;
        let data = self.data().context("cannot make the data partition")?;
        let assemble = |name: &str, place| -> Result<PathBuf> {
            let path = self.folder.join(name);
            disk::assemble(&path, &boot, (&system, place), &data)
                .context("cannot put the disk together")?;
            Ok(path)
        };
        let disks =
            Disks { factory: assemble("disk.img", ROOT_A)?, trial: assemble("trial.img", ROOT_B)? };
        boot::begin_trial(&disks.trial, &self.folder, "2").context("cannot begin a trial")?;
        Ok(disks)
    }

    fn root(&self, system: System) -> Result<PathBuf> {
        root::build(&self.folder, &self.ingredients, system)
            .with_context(|| format!("cannot make the system {}", system.name))
    }

    /// What the client finds at its first start: the device type, and the first system's name.
    fn data(&self) -> Result<PathBuf> {
        let tree = self.folder.join("data");
        let mender = tree.join("mender");
        std::fs::create_dir_all(&mender)?;
        std::fs::write(mender.join("device_type"), format!("device_type={DEVICE_TYPE}\n"))?;
        programs::artifact([
            "bootstrap-artifact".as_ref(),
            "--artifact-name".as_ref(),
            FACTORY.as_ref(),
            "--device-type".as_ref(),
            DEVICE_TYPE.as_ref(),
            "--no-progress".as_ref(),
            "--output-path".as_ref(),
            mender.join("bootstrap.mender").as_os_str(),
        ])?;
        // With checksums in it, ext4 refuses for good a superblock of which a power cut tore the
        // second sector off.
        let size_bytes = DATA.end - DATA.start;
        let options = ["-O", "^metadata_csum"];
        root::file_system(&self.folder.join("data.img"), &tree, size_bytes, &options)
    }
}
