//! Updates of a whole folder.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink},
};

use rota_artifact::Builder;
use tar::{EntryType, Header};

use super::{
    device::{Contents, Device, contents},
    faults,
    power::Update,
};
use crate::machine::Call;

/// A device with a program in a folder.
fn device() -> Device {
    let device = Device::new("directory");
    device.write("srv/app/program", "old");
    device.write("srv/app/data/only-old", "old");
    device.write("srv/beside", "stays");
    device
}

fn srv(device: &Device) -> Contents {
    contents(&device.path("srv"))
}

/// An archive under construction.
struct Tape(tar::Builder<Vec<u8>>);

impl Tape {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Adds an entry; the name is taken as it is, however bad.
    fn with(mut self, kind: EntryType, mode: u32, name: &str, content: &str) -> Self {
        let mut header = Header::new_gnu();
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            raw.linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        let content = if kind == EntryType::Regular { content } else { "" };
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.with(EntryType::Regular, 0o644, name, content)
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn new_app() -> Tape {
    Tape::new()
        .with(EntryType::Directory, 0o750, "./", "")
        .with(EntryType::Regular, 0o4755, "./program", "new")
        .with(EntryType::Directory, 0o711, "./lib/", "")
        .file("./lib/code", "new")
        .with(EntryType::Symlink, 0o777, "./lib/link", "/nonexistent/../x")
        .with(EntryType::Link, 0o644, "./twin", "./lib/code")
}

fn artifact(device: &Device, archive: Vec<u8>, folder: &str) -> Builder {
    // In the order of Mender's generator.
    device
        .artifact()
        .file_bytes("update.tar", archive)
        .file_bytes("dest_dir", format!("{}\n", device.path(folder).display()))
}

fn new_artifact(device: &Device, folder: &str) -> Vec<u8> {
    artifact(device, new_app().bytes(), folder).to_vec().unwrap()
}

#[test]
fn a_folder_is_replaced_and_comes_back() {
    let device = device();
    let old = srv(&device);
    let inode = fs::metadata(device.path("srv/app")).unwrap().ino();
    let artifact = new_artifact(&device, "srv/app");
    device.download(&artifact).unwrap();
    assert_eq!(srv(&device), old, "nothing changes while it is downloaded");
    device.call(Call::ArtifactInstall).unwrap();
    assert_eq!(device.read("srv/app/program").as_deref(), Some("new"));
    assert!(device.supports_rollback());
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(srv(&device), old);
    assert_eq!(fs::metadata(device.path("srv/app")).unwrap().ino(), inode, "the very same folder");
}

#[test]
fn what_is_unpacked_is_as_it_was_packed() {
    let device = device();
    let archive = new_app().with(EntryType::Fifo, 0o600, "./pipe", "").bytes();
    device.install(&artifact(&device, archive, "srv/app").to_vec().unwrap()).unwrap();
    device.call(Call::ArtifactCommit).unwrap();
    device.clean_up().unwrap();
    let at = |name: &str| device.path("srv/app").join(name).symlink_metadata().unwrap();
    assert_eq!(at("").mode() & 0o7777, 0o750);
    assert_eq!(at("program").mode() & 0o7777, 0o4755);
    assert_eq!(at("lib").mode() & 0o7777, 0o711);
    assert_eq!((at("lib").mtime(), at("lib/code").mtime()), (1_700_000_000, 1_700_000_000));
    assert_eq!(at("lib/link").mtime(), 1_700_000_000);
    assert_eq!(at("twin").ino(), at("lib/code").ino());
    assert!(at("pipe").file_type().is_fifo());
    let link = fs::read_link(device.path("srv/app/lib/link")).unwrap();
    assert_eq!(link.to_str(), Some("/nonexistent/../x"));
    assert!(device.read("srv/app/data/only-old").is_none());
    assert_eq!(fs::read_dir(device.path("srv")).unwrap().count(), 2, "nothing stays beside it");
}

/// What tar itself packs and unpacks is our yardstick.
#[test]
fn an_archive_of_tars_is_unpacked_as_by_tar() {
    let device = device();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    device.write(&format!("tree/{long}"), "long");
    device.write("tree/a/empty", "");
    fs::hard_link(device.path("tree/a/empty"), device.path("tree/z")).unwrap();
    symlink("a", device.path("tree/link")).unwrap();
    symlink("x".repeat(150), device.path("tree/long-link")).unwrap();
    fs::set_permissions(device.path("tree/a"), fs::Permissions::from_mode(0o700)).unwrap();
    let shell = |script: &str| {
        let ended = std::process::Command::new("sh")
            .args(["-ec", script])
            .current_dir(device.folder.path())
            .status();
        assert!(ended.unwrap().success(), "{script}");
    };
    shell("tar -cf packed.tar -C tree . && mkdir expected && tar -xf packed.tar -C expected");
    shell("rm -r tree");
    let archive = fs::read(device.path("packed.tar")).unwrap();
    device.install(&artifact(&device, archive, "srv/app").to_vec().unwrap()).unwrap();
    assert_eq!(contents(&device.path("srv/app")), contents(&device.path("expected")));
}

#[test]
fn a_folder_that_was_not_there_goes_away_again() {
    let device = device();
    let old = srv(&device);
    device.install(&new_artifact(&device, "srv/a/b/app")).unwrap();
    assert_eq!(device.read("srv/a/b/app/program").as_deref(), Some("new"));
    device.call(Call::ArtifactRollback).unwrap();
    device.clean_up().unwrap();
    assert_eq!(srv(&device), old);
}

#[test]
fn behind_a_link_the_folder_is_replaced_and_the_link_stays() {
    let device = device();
    symlink("app", device.path("srv/current")).unwrap();
    device.install(&new_artifact(&device, "srv/current")).unwrap();
    assert_eq!(fs::read_link(device.path("srv/current")).unwrap().to_str(), Some("app"));
    assert_eq!(device.read("srv/app/program").as_deref(), Some("new"));
}

#[test]
fn power_cuts_leave_the_old_folder_or_the_new_one() {
    for folder in ["srv/app", "srv/a/app"] {
        Update {
            device: &device,
            artifact: &|device| new_artifact(device, folder),
            contents: &srv,
            atomic: Some(folder),
        }
        .survives_power_cuts();
    }
}

#[test]
fn without_exchange_the_client_mends_what_a_power_cut_left() {
    faults::without_exchange();
    Update {
        device: &device,
        artifact: &|device| new_artifact(device, "srv/app"),
        contents: &srv,
        atomic: None,
    }
    .survives_power_cuts();
}

#[test]
fn full_disks_leave_the_old_folder_or_the_new_one() {
    Update {
        device: &device,
        artifact: &|device| new_artifact(device, "srv/app"),
        contents: &srv,
        atomic: Some("srv/app"),
    }
    .survives_full_disks();
}

#[test]
fn hostile_archives_are_refused_before_anything_changes() {
    use EntryType::{Link, Symlink};
    let device = device();
    let old = srv(&device);
    let outside = device.path("outside");
    for (archive, expected) in [
        (Tape::new().file("../x", "x"), "leads out"),
        (Tape::new().file("a/../../x", "x"), "leads out"),
        (Tape::new().file("/etc/x", "x"), "leads out"),
        (Tape::new().with(Link, 0o644, "x", "/etc/passwd"), "leads out"),
        (Tape::new().with(Link, 0o644, "x", "../x"), "leads out"),
        (Tape::new().with(Symlink, 0o777, "a", "/").file("a/x", "x"), "through a link"),
        (
            Tape::new().with(Symlink, 0o777, "a", "/").with(Link, 0o644, "x", "a/etc/passwd"),
            "through a link",
        ),
        (Tape::new().with(Symlink, 0o777, "a", ""), "leads nowhere"),
        (Tape::new().file("./", "x"), "has no name"),
        (Tape::new().with(EntryType::new(b'z'), 0o644, "x", ""), "unknown kind"),
    ] {
        let said = device.refuses(artifact(&device, archive.bytes(), "srv/app"));
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let mut cut_short = new_app().bytes();
    cut_short.truncate(1200);
    device.refuses(artifact(&device, cut_short, "srv/app"));
    device.refuses(artifact(&device, b"not an archive".repeat(100), "srv/app"));
    assert_eq!(srv(&device), old);
    assert!(!outside.exists());
}

#[test]
fn what_comes_twice_fails_and_goes_back() {
    use EntryType::Symlink;
    let device = device();
    let old = srv(&device);
    for archive in [
        Tape::new().file("a", "1").file("a", "2"),
        Tape::new().with(Symlink, 0o777, "a", "/").file("a", "2"),
        Tape::new().file("a", "1").file("a/b", "2"),
        Tape::new().with(EntryType::Link, 0o644, "a", "b"),
    ] {
        let artifact = artifact(&device, archive.bytes(), "srv/app").to_vec().unwrap();
        device.install(&artifact).unwrap_err();
        device.call(Call::ArtifactRollback).unwrap();
        device.clean_up().unwrap();
        assert_eq!(srv(&device), old);
    }
}

#[test]
fn destinations_that_cannot_be_replaced_are_refused() {
    let device = device();
    let archive = || new_app().bytes();
    let to = |folder: &str| {
        device.artifact().file_bytes("update.tar", archive()).file_bytes("dest_dir", folder)
    };
    assert!(device.refuses(to("/")).contains("root of the file system"));
    assert!(device.refuses(to("/proc")).contains("mounted"));
    assert!(device.refuses(to("srv")).contains("absolute path"));
    assert!(device.refuses(to("/srv/../..")).contains("absolute path"));
    let own = device.folder.path().to_str().unwrap();
    assert!(device.refuses(to(own)).contains("keeps its own data"));
    let tree = "data/modules/v3/payloads/0000/tree";
    assert!(device.refuses(to(&format!("{own}/{tree}/x"))).contains("keeps its own data"));
    assert!(device.refuses(to(&format!("{own}/srv/beside"))).contains("is not a folder"));
    assert!(device.refuses(to(&format!("{own}/srv/beside/x"))).contains("is not a folder"));
    let no_archive = device.artifact().file_bytes("dest_dir", format!("{own}/srv/app"));
    assert!(device.refuses(no_archive).contains("no file update.tar"));
    assert!(device.refuses(to("/x").file_bytes("more", "x")).contains("nothing asks for"));
}

#[test]
fn a_rollback_that_fails_keeps_the_former_folder() {
    let device = device();
    device.install(&new_artifact(&device, "srv/app")).unwrap();
    fs::rename(device.path("srv/app"), device.path("srv/moved")).unwrap();
    fs::create_dir(device.path("srv/app")).unwrap();
    device.call(Call::ArtifactRollback).unwrap_err();
    device.clean_up().unwrap();
    assert_eq!(device.read("srv/.app.rota-other/program").as_deref(), Some("old"));
}
