//! Takes a tar archive apart, into an empty folder and nowhere else.
//!
//! Names lead neither up nor to the root, and not through links of the archive's own; nothing
//! comes twice. Owners, permissions, times of modification, links, FIFOs and device nodes are kept.

use std::{
    collections::BTreeSet,
    io::Read,
    path::{Component, Path, PathBuf},
};

use rustix::fs::{FileType, makedev};
use tar::{Archive, Entry, EntryType};

use super::owners::Owners;
use crate::payloads::{
    PayloadError,
    disk::{self, Attributes},
    files::refused,
    folders,
};

/// More than any folder of a device has; bounds what is remembered of an archive.
const MAX_ENTRIES: usize = 250_000;

/// The longest path that the system takes.
const MAX_PATH_BYTES: usize = 4095;

/// What a file system needs beside the content of a file, roughly.
const OVERHEAD_BYTES: u64 = 4096;

/// Something in an archive.
struct Item {
    /// Empty for the folder itself.
    path: PathBuf,
    kind: Kind,
    attributes: Attributes,
}

enum Kind {
    Folder,
    File,
    Symlink(PathBuf),
    HardLink(PathBuf),
    Node(FileType, u64),
}

/// The content of a file, and its size in bytes.
type Content<'a> = Option<(&'a mut dyn Read, u64)>;

/// Reads an archive to its end and tells how much space it takes, in bytes.
pub(in crate::payloads) fn measure(archive: impl Read) -> Result<u64, PayloadError> {
    let mut needed_bytes = 0_u64;
    walk(archive, &Owners::default(), |_, content| {
        let size_bytes = content.map_or(0, |(_, size_bytes)| size_bytes);
        needed_bytes = needed_bytes.saturating_add(size_bytes).saturating_add(OVERHEAD_BYTES);
        Ok(())
    })?;
    Ok(needed_bytes)
}

/// Unpacks an archive into an empty folder that nobody else can reach; nothing is synced. The
/// folder itself becomes what the archive says, or else readable for everybody.
pub(in crate::payloads) fn unpack(
    archive: impl Read,
    folder: &Path,
    owners: &Owners,
) -> Result<(), PayloadError> {
    // What is put into a folder changes its time, and its permissions may forbid putting anything
    // in; so they come at the end, the innermost first.
    let mut folders = Vec::new();
    walk(archive, owners, |item, content| {
        let Item { path, kind, attributes } = item;
        let inner = path.parent().filter(|_| !matches!(kind, Kind::Folder)).unwrap_or(&path);
        make_folders(folder, inner)?;
        if let Kind::Folder = kind {
            folders.push((path, attributes));
            return Ok(());
        }
        put(folder, &path, kind, attributes, content)
    })?;
    if !folders.iter().any(|(path, _)| path.as_os_str().is_empty()) {
        disk::set_mode(folder, 0o755)?;
    }
    for (path, attributes) in folders.iter().rev() {
        disk::set_attributes(&folder.join(path), *attributes, false)?;
    }
    Ok(())
}

/// Puts something other than a folder in place, which must be free.
fn put(
    folder: &Path,
    path: &Path,
    kind: Kind,
    attributes: Attributes,
    content: Content<'_>,
) -> Result<(), PayloadError> {
    let path = folder.join(path);
    match kind {
        // Shares the attributes of the file; and folders are none of this.
        Kind::HardLink(target) => return disk::link(&folder.join(target), &path),
        Kind::Folder => return Ok(()),
        Kind::File => {
            let mut file = disk::create(&path, 0o600)?;
            if let Some((content, _)) = content {
                file.copy_from(content)?;
            }
        }
        Kind::Symlink(target) => {
            disk::make_symlink(&target, &path)?;
            return disk::set_attributes(&path, attributes, true);
        }
        Kind::Node(kind, device) => disk::make_node(&path, kind, device)?,
    }
    disk::set_attributes(&path, attributes, false)
}

/// Creates what is missing of a path within a folder.
fn make_folders(folder: &Path, path: &Path) -> Result<(), PayloadError> {
    let mut whole = folder.to_owned();
    for part in path.components() {
        whole.push(part);
        match disk::kind(&whole)? {
            None => folders::make_readable(&whole)?,
            Some(found) if found.is_dir() => {}
            Some(_) => return Err(refused(format!("its archive has {} twice", path.display()))),
        }
    }
    Ok(())
}

/// Goes through an archive, and refuses names that lead elsewhere.
fn walk(
    mut archive: impl Read,
    owners: &Owners,
    mut take: impl FnMut(Item, Content<'_>) -> Result<(), PayloadError>,
) -> Result<(), PayloadError> {
    let mut archive = Archive::new(&mut archive as &mut dyn Read);
    let mut links = BTreeSet::new();
    let damaged = |error: std::io::Error| refused(format!("its archive cannot be read: {error}"));
    for (count, entry) in archive.entries().map_err(damaged)?.enumerate() {
        if count >= MAX_ENTRIES {
            return Err(refused(format!("its archive has more than {MAX_ENTRIES} entries")));
        }
        let mut entry = entry.map_err(damaged)?;
        let Some(item) = item(&entry, owners)? else { continue };
        let target = if let Kind::HardLink(target) = &item.kind { target } else { Path::new("") };
        for path in [item.path.as_path(), target] {
            if path.ancestors().skip(1).any(|folder| links.contains(folder)) {
                return Err(refused(format!(
                    "{} in its archive leads through a link",
                    path.display()
                )));
            }
        }
        if matches!(item.kind, Kind::Symlink(_)) {
            links.insert(item.path.clone());
        }
        let size_bytes = entry.size();
        let is_file = matches!(item.kind, Kind::File);
        take(item, is_file.then_some((&mut entry as &mut dyn Read, size_bytes)))?;
    }
    Ok(())
}

/// What an entry stands for; `None` for what only speaks about the archive.
fn item(entry: &Entry<'_, &mut dyn Read>, owners: &Owners) -> Result<Option<Item>, PayloadError> {
    let header = entry.header();
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let damaged = |error| refused(format!("{name:?} in its archive is damaged: {error}"));
    let number = |number: Result<Option<u32>, _>| number.map(Option::unwrap_or_default);
    let kind = match header.entry_type() {
        EntryType::XGlobalHeader => return Ok(None),
        EntryType::Directory => Kind::Folder,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Symlink => Kind::Symlink(link_target(entry, &name)?),
        EntryType::Link => Kind::HardLink(within(&link_target(entry, &name)?)?),
        EntryType::Fifo => Kind::Node(FileType::Fifo, 0),
        kind @ (EntryType::Char | EntryType::Block) => {
            let major = number(header.device_major()).map_err(damaged)?;
            let minor = number(header.device_minor()).map_err(damaged)?;
            let kind = if kind == EntryType::Char {
                FileType::CharacterDevice
            } else {
                FileType::BlockDevice
            };
            Kind::Node(kind, makedev(major, minor))
        }
        other => {
            return Err(refused(format!(
                "{name:?} in its archive is of an unknown kind, {other:?}"
            )));
        }
    };
    let path = within(&entry.path().map_err(damaged)?)?;
    if path.as_os_str().is_empty() && !matches!(kind, Kind::Folder) {
        return Err(refused("an entry of its archive has no name"));
    }
    let id = |id: u64| {
        u32::try_from(id).map_err(|_| refused(format!("{name:?} in its archive has no real owner")))
    };
    let attributes = Attributes {
        uid: match owners.user(header.username_bytes()) {
            Some(uid) => uid,
            None => id(header.uid().map_err(damaged)?)?,
        },
        gid: match owners.group(header.groupname_bytes()) {
            Some(gid) => gid,
            None => id(header.gid().map_err(damaged)?)?,
        },
        mode: header.mode().map_err(damaged)? & 0o7777,
        modified: i64::try_from(header.mtime().map_err(damaged)?).unwrap_or(i64::MAX),
    };
    Ok(Some(Item { path, kind, attributes }))
}

fn link_target(entry: &Entry<'_, &mut dyn Read>, name: &str) -> Result<PathBuf, PayloadError> {
    match entry.link_name() {
        Ok(Some(target)) if !target.as_os_str().is_empty() => Ok(target.into_owned()),
        _ => Err(refused(format!("the link {name:?} in its archive leads nowhere"))),
    }
}

/// A path that stays within the archive, without dots.
fn within(path: &Path) -> Result<PathBuf, PayloadError> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            _ => {
                return Err(refused(format!(
                    "{} in its archive leads out of it; make the archive with relative names",
                    path.display()
                )));
            }
        }
    }
    if plain.as_os_str().len() > MAX_PATH_BYTES {
        return Err(refused("a name in its archive is longer than any path"));
    }
    Ok(plain)
}
