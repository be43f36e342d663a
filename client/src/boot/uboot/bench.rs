//! U-Boot against the suite for all boot loaders, with Debian's tools. U-Boot itself is modelled as
//! built with `CONFIG_BOOTCOUNT_LIMIT` and `CONFIG_BOOTCOUNT_ENV`, with `bootlimit=1`, and with an
//! `altbootcmd` that turns to the other partition.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    UBootEnvironment, UBootTools,
    tests::{Shell, tools},
};
use crate::boot::{
    BootLoader, Environment, PartitionNumbers, Slot, Variables,
    conformance::{Bench, Change, conforms},
};

/// What a disk writes as a whole.
const SECTOR: usize = 512;

struct UBoot {
    folder: TempDir,
    shell: Shell,
    /// Debian's tools, the second one behind a script that keeps what it wrote.
    tools: UBootTools,
}

impl UBoot {
    fn environment(&self) -> UBootEnvironment<'_> {
        UBootEnvironment::new(self.tools.clone(), self.shell.programs())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Copies the environment to a file of the next number after each call.
fn recording(folder: &Path, tools: UBootTools) -> UBootTools {
    let set = folder.join("fw_setenv");
    fs::create_dir(folder.join("history")).unwrap();
    let script = format!(
        "#!/bin/sh\n{} \"$@\" || exit\ncd {}\ncp env history/$(ls history | wc -l)\n",
        tools.set.display(),
        folder.display()
    );
    fs::write(&set, script).unwrap();
    fs::set_permissions(&set, fs::Permissions::from_mode(0o755)).unwrap();
    UBootTools { set, ..tools }
}

impl Bench for UBoot {
    type Disk = Vec<u8>;

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shell = Shell::new(folder.path());
        let tools = recording(folder.path(), tools(folder.path()));
        let bench = Self { folder, shell, tools };
        let values = [
            ("mender_boot_part", "2".to_owned()),
            ("mender_boot_part_hex", "2".to_owned()),
            ("upgrade_available", "0".to_owned()),
            ("bootcount", "0".to_owned()),
            // So that what follows it is in another sector.
            ("middle1", "x".repeat(600)),
            ("middle2", "x".repeat(600)),
        ];
        bench.environment().write(&values).unwrap();
        bench
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut dyn BootLoader) -> T) -> T {
        let numbers = PartitionNumbers::of(["/dev/sda2", "/dev/sda3"].map(Path::new)).unwrap();
        work(&mut Variables::new(self.environment(), numbers))
    }

    fn start(&mut self) -> Slot {
        let mut environment = self.environment();
        let values = environment.read().unwrap();
        let number = |name: &str| values[name].parse::<u32>().unwrap();
        let (mut part, trial) = (number("mender_boot_part"), number("upgrade_available"));
        assert_eq!(format!("{part:x}"), values["mender_boot_part_hex"]);
        if trial == 1 {
            let count = number("bootcount") + 1;
            let mut changes = vec![("bootcount", count.to_string())];
            if count > number("bootlimit") {
                part = 5 - part;
                changes = vec![
                    ("mender_boot_part", part.to_string()),
                    ("mender_boot_part_hex", format!("{part:x}")),
                    ("upgrade_available", "0".to_owned()),
                    ("bootcount", "0".to_owned()),
                ];
            }
            environment.write(&changes).unwrap();
        }
        if part == 2 { Slot::A } else { Slot::B }
    }

    fn disk(&self) -> Vec<u8> {
        fs::read(self.path("env")).unwrap()
    }

    fn put(&mut self, disk: Vec<u8>) {
        fs::write(self.path("env"), disk).unwrap();
    }

    /// Between what two calls of the tool left, the sectors arrive one after the other.
    fn cuts(&mut self, change: Change) -> Vec<Vec<u8>> {
        let mut disk = self.disk();
        fs::remove_dir_all(self.path("history")).unwrap();
        fs::create_dir(self.path("history")).unwrap();
        self.with(change).unwrap();
        let mut cuts = vec![disk.clone()];
        for number in 0.. {
            let Ok(next) = fs::read(self.path(&format!("history/{number}"))) else { break };
            for place in (0..next.len()).step_by(SECTOR) {
                let sector = place..place + SECTOR;
                if disk[sector.clone()] != next[sector.clone()] {
                    disk[sector.clone()].copy_from_slice(&next[sector]);
                    cuts.push(disk.clone());
                }
            }
        }
        cuts
    }
}

conforms!(UBoot);
