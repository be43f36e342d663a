//! GRUB against the suite for all boot loaders. The boot script is modelled here as it is written in
//! `support/grub/rota-ab.cfg`.

use std::path::Path;

use tempfile::TempDir;

use super::{
    Copy, EDITING, EnvFiles, GrubEnvironment,
    block::Block,
    tests::{Content, Disk, environment},
};
use crate::boot::{
    BootLoader, PartitionNumbers, Slot, Variables,
    conformance::{Bench, Change, conforms},
};

struct Grub {
    disk: Disk,
    loader: Variables<GrubEnvironment<Disk>>,
    _folder: TempDir,
}

const VALUES: [&str; 3] = ["mender_boot_part", "upgrade_available", "bootcount"];

impl Grub {
    /// Reads a copy as the script does.
    fn load(&self, copy: Copy) -> Option<[String; 3]> {
        if self.is_locked(copy) {
            return None;
        }
        let env = Block::parse(&self.disk.read(&copy.env()).ok()?).ok()?;
        let value = |name: &str| String::from_utf8_lossy(env.get(name).unwrap_or(b"")).into_owned();
        let values = VALUES.map(value);
        let [part, trial, count] = &values;
        let is_sound = ["2", "3"].contains(&part.as_str())
            && ["0", "1"].contains(&trial.as_str())
            && (trial == "0" || ["0", "1"].contains(&count.as_str()));
        is_sound.then_some(values)
    }

    /// Writes a copy as the script does: `save_env` changes what is there, unless it is locked.
    fn save(&self, copy: Copy, values: &[&str; 3]) {
        if self.is_locked(copy) {
            return;
        }
        let [part, trial, count] = VALUES.into_iter().zip(*values).collect::<Vec<_>>()[..] else {
            unreachable!("three names and three values");
        };
        // What is between them puts them into two sectors.
        self.disk.put(copy.env(), &[part, ("between", &"x".repeat(600)), trial, count]);
    }

    fn is_locked(&self, copy: Copy) -> bool {
        let lock = self.disk.read(&copy.lock()).ok().and_then(|bytes| Block::parse(&bytes).ok());
        lock.is_none_or(|lock| lock.get(EDITING) != Some(b"0"))
    }
}

impl Bench for Grub {
    type Disk = Content;

    fn new() -> Self {
        let disk = Disk::default();
        let (folder, environment) = environment(disk.clone());
        let numbers = PartitionNumbers::of(["/dev/sda2", "/dev/sda3"].map(Path::new)).unwrap();
        let loader = Variables::new(environment, numbers);
        let grub = Self { disk, loader, _folder: folder };
        for copy in [Copy::First, Copy::Second] {
            grub.disk.put(copy.lock(), &[(EDITING, "0")]);
            grub.save(copy, &["2", "0", "0"]);
        }
        grub
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut dyn BootLoader) -> T) -> T {
        work(&mut self.loader)
    }

    fn start(&mut self) -> Slot {
        let (source, values) = match self.load(Copy::First) {
            Some(values) => (Copy::First, values),
            None => (Copy::Second, self.load(Copy::Second).expect("one copy is sound")),
        };
        let [part, trial, count] = &values;
        let other = if part == "2" { "3" } else { "2" };
        let part = match (trial.as_str(), count.as_str()) {
            ("0", _) => part,
            (_, "0") => {
                for copy in [source.other(), source] {
                    self.save(copy, &[part, "1", "1"]);
                }
                part
            }
            _ => {
                for copy in [source.other(), source] {
                    self.save(copy, &[other, "0", "0"]);
                }
                other
            }
        };
        if part == "2" { Slot::A } else { Slot::B }
    }

    fn disk(&self) -> Content {
        self.disk.content()
    }

    fn put(&mut self, disk: Content) {
        self.disk.put_content(disk);
    }

    fn cuts(&mut self, change: Change) -> Vec<Content> {
        self.disk.take_history();
        self.with(change).unwrap();
        self.disk.take_history()
    }
}

conforms!(Grub);
