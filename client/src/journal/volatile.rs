//! A folder on a disk that loses power: file contents and names each survive only if they were
//! synced. What was not is lost, kept or torn, as a [`Choose`] decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, ErrorKind, Write},
    rc::Rc,
};

use super::{Disk, DiskFile};

/// Decides what is left to chance.
pub(crate) trait Choose {
    /// A number below `count`.
    fn choose(&mut self, count: usize) -> usize;
}

/// Makes every combination of decisions, one combination after the other.
#[derive(Debug, Default)]
pub(crate) struct Every {
    /// The decisions of this round so far: which, of how many.
    decisions: Vec<(usize, usize)>,
    next: usize,
}

impl Every {
    /// Prepares the next combination; `false` when there is none.
    pub(crate) fn advance(&mut self) -> bool {
        self.next = 0;
        while let Some((choice, count)) = self.decisions.pop() {
            if choice + 1 < count {
                self.decisions.push((choice + 1, count));
                return true;
            }
        }
        false
    }
}

impl Choose for Every {
    fn choose(&mut self, count: usize) -> usize {
        if self.next == self.decisions.len() {
            self.decisions.push((0, count));
        }
        self.next += 1;
        self.decisions[self.next - 1].0
    }
}

/// Decides by a seed (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Seeded(pub(crate) u64);

impl Choose for Seeded {
    fn choose(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % count as u64).unwrap()
    }
}

type Inode = u32;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Content {
    seen: Bytes,
    durable: Bytes,
    /// The system's number of the error with which reading it fails, if it does.
    read_error: Option<i32>,
}

/// The content of a file at some time, cheap to copy and to tell from others.
#[derive(Clone)]
struct Bytes {
    bytes: Rc<[u8]>,
    hash: u64,
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.bytes), f)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { bytes: bytes.into(), hash: hasher.finish() }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::from(&[][..])
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Bytes {}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A change of names that is not on the disk yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Change {
    Make(String, Inode),
    Rename(String, String, Inode),
    Remove(String, Inode),
}

/// The files of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Files {
    contents: BTreeMap<Inode, Content>,
    names: BTreeMap<String, Inode>,
    durable_names: BTreeMap<String, Inode>,
    unsynced: Vec<Change>,
    next_inode: Inode,
    /// How many files with content fit; `None` for any number.
    pub(crate) room: Option<usize>,
    pub(crate) is_read_only: bool,
}

impl Files {
    pub(crate) fn read(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).map(|inode| &*self.contents[inode].seen.bytes)
    }

    /// From now on reading this file, not one that takes its name, fails.
    pub(crate) fn spoil(&mut self, name: &str, os_error: i32) {
        let inode = self.names[name];
        self.content(inode).read_error = Some(os_error);
    }

    fn check_readable(&self, name: &str) -> io::Result<()> {
        let error = self.names.get(name).and_then(|inode| self.contents[inode].read_error);
        error.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Whether a power cut changes nothing.
    pub(crate) fn is_synced(&self) -> bool {
        self.unsynced.is_empty()
            && self.contents.values().all(|content| content.seen == content.durable)
    }

    fn create(&mut self, name: &str) -> io::Result<Inode> {
        self.check_writable()?;
        if self.names.contains_key(name) {
            self.remove(name)?;
        }
        self.next_inode += 1;
        let inode = self.next_inode;
        self.names.insert(name.to_owned(), inode);
        self.contents.insert(inode, Content::default());
        self.unsynced.push(Change::Make(name.to_owned(), inode));
        Ok(inode)
    }

    fn append(&mut self, inode: Inode, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let is_empty = |inode: &Inode| self.contents[inode].seen.bytes.is_empty();
        let used = self.names.values().filter(|inode| !is_empty(inode));
        let is_new = is_empty(&inode);
        if is_new && self.room.is_some_and(|room| used.count() >= room) {
            return Err(ErrorKind::StorageFull.into());
        }
        let content = self.content(inode);
        content.seen = [&content.seen.bytes, bytes].concat().as_slice().into();
        Ok(())
    }

    fn sync_content(&mut self, inode: Inode) -> io::Result<()> {
        self.check_writable()?;
        let content = self.content(inode);
        content.durable.clone_from(&content.seen);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        let inode = self.names.remove(from).ok_or(ErrorKind::NotFound)?;
        self.names.insert(to.to_owned(), inode);
        self.unsynced.push(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        let inode = self.names.remove(name).ok_or(ErrorKind::NotFound)?;
        self.unsynced.push(Change::Remove(name.to_owned(), inode));
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.check_writable()?;
        self.durable_names.clone_from(&self.names);
        self.unsynced.clear();
        self.drop_unnamed();
        Ok(())
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.is_read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    fn content(&mut self, inode: Inode) -> &mut Content {
        self.contents.entry(inode).or_default()
    }

    fn drop_unnamed(&mut self) {
        let named: BTreeSet<Inode> =
            self.names.values().chain(self.durable_names.values()).copied().collect();
        self.contents.retain(|inode, _| named.contains(inode));
    }

    /// Everything reaches the disk, as when the system goes down in good order.
    pub(crate) fn sync_all(&mut self) {
        for content in self.contents.values_mut() {
            content.durable.clone_from(&content.seen);
        }
        self.durable_names.clone_from(&self.names);
        self.unsynced.clear();
    }

    /// The power goes.
    pub(crate) fn cut(&mut self, chance: &mut dyn Choose) {
        for change in std::mem::take(&mut self.unsynced) {
            if chance.choose(2) == 0 {
                continue;
            }
            let names = &mut self.durable_names;
            match change {
                Change::Make(name, inode) => {
                    names.insert(name, inode);
                }
                Change::Rename(from, to, inode) => {
                    names.retain(|name, other| *name != from || *other != inode);
                    names.insert(to, inode);
                }
                Change::Remove(name, inode) => {
                    names.retain(|other, kept| *other != name || *kept != inode);
                }
            }
        }
        self.names.clone_from(&self.durable_names);
        self.drop_unnamed();
        for content in self.contents.values_mut() {
            if content.seen != content.durable {
                match chance.choose(4) {
                    0 => {}
                    1 => content.durable = Bytes::default(),
                    2 => {
                        let seen = &content.seen.bytes;
                        content.durable = seen[..seen.len() / 2].into();
                    }
                    _ => content.durable.clone_from(&content.seen),
                }
            }
            content.seen.clone_from(&content.durable);
        }
    }

    /// Gives inodes the numbers of their order, so that files of the same history are the same.
    pub(crate) fn renumber(&mut self) {
        let new: BTreeMap<Inode, Inode> = self.contents.keys().copied().zip(1..).collect();
        let inodes = self.names.values_mut().chain(self.durable_names.values_mut());
        for inode in inodes.chain(self.unsynced.iter_mut().map(Change::inode)) {
            *inode = new[inode];
        }
        self.contents = std::mem::take(&mut self.contents)
            .into_values()
            .zip(1..)
            .map(|(content, inode)| (inode, content))
            .collect();
        self.next_inode = 0;
    }

    /// Replaces all contents.
    pub(crate) fn replace_contents(&mut self, mut replace: impl FnMut(&[u8]) -> Vec<u8>) {
        for content in self.contents.values_mut() {
            for bytes in [&mut content.seen, &mut content.durable] {
                *bytes = replace(&bytes.bytes).as_slice().into();
            }
        }
    }
}

impl Change {
    fn inode(&mut self) -> &mut Inode {
        match self {
            Self::Make(_, inode) | Self::Rename(_, _, inode) | Self::Remove(_, inode) => inode,
        }
    }
}

/// The way to a folder, with something that happens before each operation.
pub(crate) trait Reach: Clone {
    fn with<T>(&self, use_files: impl FnOnce(&mut Files) -> T) -> T;
    /// An operation begins.
    fn operate(&self) -> io::Result<()>;

    fn operate_on<T>(&self, operation: impl FnOnce(&mut Files) -> io::Result<T>) -> io::Result<T> {
        self.operate()?;
        self.with(operation)
    }
}

/// A folder that is reached.
#[derive(Clone, Debug)]
pub(crate) struct Volatile<R>(pub(crate) R);

/// An open file of such a folder.
#[derive(Debug)]
pub(crate) struct VolatileFile<R>(R, Inode);

impl<R: Reach> Disk for Volatile<R> {
    type File = VolatileFile<R>;

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.with(|files| {
            files.check_readable(name)?;
            Ok(files.read(name).map(<[u8]>::to_vec))
        })
    }

    fn create(&mut self, name: &str) -> io::Result<Self::File> {
        let inode = self.0.operate_on(|files| files.create(name))?;
        Ok(VolatileFile(self.0.clone(), inode))
    }

    fn sync_content(&mut self, name: &str) -> io::Result<()> {
        self.0.operate_on(|files| {
            let inode = *files.names.get(name).ok_or(ErrorKind::NotFound)?;
            files.sync_content(inode)
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.0.operate_on(|files| files.rename(from, to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.operate_on(|files| files.remove(name))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.operate_on(Files::sync_names)
    }
}

impl<R: Reach> Write for VolatileFile<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.operate_on(|files| files.append(self.1, bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<R: Reach> DiskFile for VolatileFile<R> {
    fn sync(&mut self) -> io::Result<()> {
        self.0.operate_on(|files| files.sync_content(self.1))
    }
}
