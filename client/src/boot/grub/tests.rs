//! The two copies, on a disk that loses power and on files that Mender's and GRUB's own tools read.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
};

use tempfile::TempDir;

use super::*;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

pub(super) type Content = BTreeMap<PathBuf, Vec<u8>>;

/// Files on a disk whose power fails in the middle of a given write.
#[derive(Clone, Default)]
pub(super) struct Disk(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    files: Content,
    /// What the disk may hold if the power fails in the middle of a write.
    history: Vec<Content>,
    /// Writes that still succeed, and which sectors of the next one do.
    power: Option<(usize, u32)>,
    writes: usize,
}

impl EnvFiles for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.0.borrow().files.get(path).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.borrow_mut();
        inner.writes += 1;
        let torn = match &mut inner.power {
            Some((0, sectors)) => *sectors,
            Some((left, _)) => {
                *left -= 1;
                u32::MAX
            }
            None => u32::MAX,
        };
        for sectors in 0..3 {
            let mut content = inner.files.clone();
            tear(&mut content, path, bytes, sectors);
            inner.history.push(content);
        }
        tear(&mut inner.files, path, bytes, torn);
        if torn == u32::MAX { Ok(()) } else { Err(io::Error::other("the power is off")) }
    }

    fn place(&self) -> String {
        "disk".to_owned()
    }
}

/// Writes some sectors of a file.
fn tear(content: &mut Content, path: &Path, bytes: &[u8], sectors: u32) {
    let file = content.entry(path.to_owned()).or_default();
    file.resize(bytes.len(), 0);
    for (number, (old, new)) in file.chunks_mut(SECTOR).zip(bytes.chunks(SECTOR)).enumerate() {
        if sectors & (1 << number) != 0 {
            old.copy_from_slice(new);
        }
    }
}

impl Disk {
    pub(super) fn content(&self) -> Content {
        self.0.borrow().files.clone()
    }

    pub(super) fn put_content(&self, content: Content) {
        self.0.borrow_mut().files = content;
    }

    pub(super) fn take_history(&self) -> Vec<Content> {
        std::mem::take(&mut self.0.borrow_mut().history)
    }

    pub(super) fn block(&self, path: &Path) -> Block {
        Block::parse(&self.read(path).unwrap()).unwrap()
    }

    pub(super) fn put(&self, path: PathBuf, values: &[(&str, &str)]) {
        let mut block = Block::default();
        for (name, value) in values {
            block.set(name, value);
        }
        self.0.borrow_mut().files.insert(path, block.to_bytes().unwrap());
    }

    fn new() -> Self {
        let disk = Self::default();
        for copy in [Copy::First, Copy::Second] {
            disk.put(copy.env(), &[("mender_boot_part", "2"), ("long", &"x".repeat(600))]);
            disk.put(copy.lock(), &[(EDITING, "0")]);
        }
        disk
    }

    fn cut_after(&self, writes: usize, sectors: u32) {
        self.0.borrow_mut().power = Some((writes, sectors));
    }

    fn power_on(&self) {
        self.0.borrow_mut().power = None;
    }

    /// What the boot script would go by, read as it reads.
    fn seen_by_grub(&self) -> Values {
        let of = |copy: Copy| {
            let lock = Block::parse(&self.read(&copy.lock()).ok()?).ok()?;
            (lock.get(EDITING)? == b"0").then(|| self.block(&copy.env()))
        };
        let block = of(Copy::First).or_else(|| of(Copy::Second)).expect("GRUB finds a sound copy");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        block.variables().map(|(name, value)| (text(name), text(value))).collect()
    }
}

type Values = BTreeMap<String, String>;

pub(super) fn environment<F>(files: F) -> (TempDir, GrubEnvironment<F>) {
    let folder = tempfile::tempdir().unwrap();
    let lock_file = folder.path().join("lock/file");
    (folder, GrubEnvironment { files, lock_file })
}

fn boot_part(environment: &mut impl Environment) -> String {
    environment.read().unwrap().remove("mender_boot_part").unwrap()
}

const TO_3: [(&str, &str); 2] = [("mender_boot_part", "3"), ("end", "of the second sector")];

fn change<F: EnvFiles>(environment: &mut GrubEnvironment<F>) -> Result<(), BootError> {
    environment.write(&TO_3.map(|(name, value)| (name, value.to_owned())))
}

#[test]
fn a_power_cut_leaves_the_old_values_or_the_new_ones() {
    let mut seen = Vec::new();
    let (all, old, new) = {
        let disk = Disk::new();
        let old = disk.seen_by_grub();
        change(&mut environment(disk.clone()).1).unwrap();
        let writes = disk.0.borrow().writes;
        (writes, old, disk.seen_by_grub())
    };
    for writes in 0..all {
        // None, the first, the second, or both of the sectors; the latter without being told so.
        for sectors in 0..4 {
            let disk = Disk::new();
            let (_folder, mut env) = environment(disk.clone());
            disk.cut_after(writes, sectors);
            assert!(change(&mut env).is_err());
            disk.power_on();
            let found = disk.seen_by_grub();
            assert_eq!(env.read().unwrap(), found, "client and GRUB agree, {writes} {sectors:b}");
            // The next change, too, may be cut short anywhere.
            for again in 0..all {
                let copy = Disk::default();
                copy.put_content(disk.content());
                let (_folder, mut env) = environment(copy.clone());
                copy.cut_after(again, sectors ^ 1);
                // It may be through before the cut, since the checksums are there by now.
                let _ = change(&mut env);
                copy.power_on();
                let found = copy.seen_by_grub();
                assert_eq!(env.read().unwrap(), found);
                assert!(found == old || found == new, "{writes} {sectors:b} {again}: {found:?}");
                change(&mut env).unwrap();
                assert_eq!(env.read().unwrap(), new);
            }
            seen.push(found);
        }
    }
    seen.sort_unstable();
    seen.dedup();
    let mut expected = [old, new];
    expected.sort_unstable();
    assert_eq!(seen, expected, "all of it or nothing");
}

#[test]
fn a_damaged_copy_is_mended_and_two_are_an_error() {
    let disk = Disk::new();
    let (_folder, mut env) = environment(disk.clone());
    disk.0.borrow_mut().files.remove(&Copy::First.env());
    disk.put(Copy::Second.env(), &[("mender_boot_part", "3")]);
    assert_eq!(boot_part(&mut env), "3");
    env.write(&[("bootcount", "0".to_owned())]).unwrap();
    assert_eq!(disk.block(&Copy::First.env()), disk.block(&Copy::Second.env()));
    for copy in [Copy::First, Copy::Second] {
        disk.put(copy.lock(), &[(EDITING, "1")]);
    }
    assert!(matches!(env.read(), Err(BootError::BothCopiesDamaged { .. })));
    assert!(matches!(change(&mut env), Err(BootError::BothCopiesDamaged { .. })));
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let disk = Disk::new();
    let (_folder, mut env) = environment(disk.clone());
    let too_much = env.write(&[("bootcount", "0".repeat(400))]);
    assert!(matches!(too_much, Err(BootError::BlockFull { .. })), "{too_much:?}");
    assert_eq!(disk.0.borrow().writes, 0);
}

fn run(program: &mut Command) -> String {
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    assert!(output.status.success(), "{program:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A device with the environment that our own script makes.
fn device() -> (TempDir, Host, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::within(folder.path());
    let place = host.path("/boot/efi/grub-mender-grubenv");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/support/grub/rota-grubenv");
    run(Command::new(script).arg(&place).arg("2"));
    (folder, host, place)
}

#[test]
fn the_files_stay_where_they_are_and_as_other_tools_expect_them() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, host, place) = device();
    let inode = |name: &str| fs::metadata(place.join(name)).unwrap().ino();
    let names = ["mender_grubenv1/env", "mender_grubenv1/lock", "mender_grubenv2/env"];
    let before = names.map(inode);
    let mut env = GrubEnvironment::find(&host).unwrap();
    assert_eq!(boot_part(&mut env), "2");
    change(&mut env).unwrap();
    assert_eq!(names.map(inode), before);
    for copy in ["mender_grubenv1", "mender_grubenv2"] {
        let list = run(Command::new("grub-editenv").arg(place.join(copy).join("env")).arg("list"));
        assert!(list.contains("mender_boot_part=3\nupgrade_available=0\nbootcount=0\n"), "{list}");
        let check = ["-c", "--status", "lock.sha256sum"];
        run(Command::new("sha256sum").args(check).current_dir(place.join(copy)));
    }
}

#[test]
fn a_file_that_another_tool_truncated_is_made_anew() {
    let (_folder, host, place) = device();
    fs::write(place.join("mender_grubenv1/env"), "").unwrap();
    fs::remove_file(place.join("mender_grubenv1/lock.sha256sum")).unwrap();
    let mut env = GrubEnvironment::find(&host).unwrap();
    change(&mut env).unwrap();
    assert_eq!(fs::read(place.join("mender_grubenv1/env")).unwrap().len(), block::SIZE);
    let check = ["-c", "--status", "lock.sha256sum"];
    run(Command::new("sha256sum").args(check).current_dir(place.join("mender_grubenv1")));
}

#[test]
fn the_place_may_be_configured() {
    let (_folder, host, place) = device();
    let elsewhere = host.path("/uboot/env");
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::rename(&place, &elsewhere).unwrap();
    assert!(GrubEnvironment::find(&host).is_none());
    fs::create_dir_all(host.path("/etc")).unwrap();
    fs::write(host.path(CONFIG), "# where\nENV_DIR = /nowhere\nENV_DIR=/uboot/env\n").unwrap();
    assert_eq!(boot_part(&mut GrubEnvironment::find(&host).unwrap()), "2");
}
