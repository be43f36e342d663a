//! Reads the pairs of an LMDB file, without LMDB.
//!
//! Mender's client keeps a handful of small pairs in the main database of such a file. To read them
//! once takes little, and this way of doing it has what the library does not offer: the file is
//! data, of which any byte may be wrong, instead of memory that is trusted; nothing beside it is
//! created or locked; and files of the other word size can be read, too.
//!
//! Layout (format version 1, `mdb.master` 0.9; numbers in the byte order of the machine; a word is
//! a C `size_t`):
//!
//! ```text
//! page    number: word, -: u16, flags: u16, end of offsets: u16, -: u16, offsets of nodes: u16 …
//! node    low: u16, high: u16, flags: u16, length of key: u16, key, value
//!         in branches low, high and flags are the child's page; in leaves low and high are the
//!         value's length, and a value too big for a page is the number of its first own page
//! meta    (pages 0 and 1, behind the first 3 words' worth of header) magic: u32, version: u32,
//!         address: word, size: word, free pages: tree, main: tree, last page: word, commit: word
//! tree    -: u32 (of the first tree: size of a page), flags: u16, depth: u16, three page counts
//!         and the number of pairs: words, root: word
//! ```

use std::collections::BTreeMap;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;

/// The value lies on pages of its own.
const BIG: u16 = 0x01;
/// Named databases and lists of values, of which Mender's client has none.
const NOT_A_VALUE: u16 = 0x02 | 0x04;

/// Bytes of a node before its key.
const NODE_HEADER: usize = 8;

/// Far deeper than any tree of so few pairs.
const MAX_DEPTH: u32 = 8;

/// Why a file is no LMDB file that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("it is of another version of LMDB")]
    Version,
    #[error("it ends too early, or points beyond its end")]
    Truncated,
    #[error("it has pages of an impossible size")]
    PageSize,
    #[error("a page is not what it is used for")]
    WrongPage,
    #[error("its pages go in circles")]
    Circle,
    #[error("its values overlap")]
    Overlap,
}

/// Whether the bytes begin like an LMDB file of either word size.
pub(super) fn is_lmdb(bytes: &[u8]) -> bool {
    word_size(bytes).is_some()
}

/// All pairs as of the last commit. Keys that are no text are left out.
pub(super) fn pairs(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Damage> {
    let word = word_size(bytes).ok_or(Damage::Version)?;
    let file = File { bytes, word, page_size: bytes.len() };
    let first = file.meta(0)?;
    let file = File { page_size: first.page_size, ..file };
    // A commit goes to the older of the two; a torn one leaves the other.
    let second = file.meta(file.page_size).ok().filter(|second| second.commit > first.commit);
    let root = second.unwrap_or(first).root;

    let pages = bytes.len() / file.page_size;
    let mut walk =
        Walk { file, pages_left: pages, bytes_left: bytes.len(), pairs: BTreeMap::new() };
    if root != file.no_page() {
        walk.page(root, MAX_DEPTH)?;
    }
    Ok(walk.pairs)
}

/// The magic number stands behind a page header, whose length shows the size of a word.
fn word_size(bytes: &[u8]) -> Option<usize> {
    let has_magic = |word: &usize| bytes.get(word + 8..word + 12) == Some(&MAGIC.to_ne_bytes());
    [8, 4].into_iter().find(has_magic)
}

#[derive(Clone, Copy)]
struct File<'a> {
    bytes: &'a [u8],
    word: usize,
    page_size: usize,
}

struct Meta {
    page_size: usize,
    root: u64,
    commit: u64,
}

impl<'a> File<'a> {
    fn slice(&self, at: usize, length: usize) -> Result<&'a [u8], Damage> {
        let end = at.checked_add(length).ok_or(Damage::Truncated)?;
        self.bytes.get(at..end).ok_or(Damage::Truncated)
    }

    fn u16(&self, at: usize) -> Result<u16, Damage> {
        let bytes = self.slice(at, 2)?.try_into().map_err(|_| Damage::Truncated)?;
        Ok(u16::from_ne_bytes(bytes))
    }

    fn u32(&self, at: usize) -> Result<u32, Damage> {
        let bytes = self.slice(at, 4)?.try_into().map_err(|_| Damage::Truncated)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn word(&self, at: usize) -> Result<u64, Damage> {
        if self.word == 4 {
            return self.u32(at).map(u64::from);
        }
        let bytes = self.slice(at, 8)?.try_into().map_err(|_| Damage::Truncated)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// What stands for "no page".
    fn no_page(&self) -> u64 {
        if self.word == 4 { u64::from(u32::MAX) } else { u64::MAX }
    }

    fn page_header(&self) -> usize {
        self.word + 8
    }

    fn meta(&self, page: usize) -> Result<Meta, Damage> {
        let start = page + self.page_header();
        if self.u32(start)? != MAGIC || self.u32(start + 4)? != VERSION {
            return Err(Damage::Version);
        }
        let tree = 8 + 5 * self.word;
        let trees = start + 8 + 2 * self.word;
        let page_size = self.u32(trees)? as usize;
        if !page_size.is_power_of_two() || !(256..=65_536).contains(&page_size) {
            return Err(Damage::PageSize);
        }
        let root = self.word(trees + 2 * tree - self.word)?;
        let commit = self.word(trees + 2 * tree + self.word)?;
        Ok(Meta { page_size, root, commit })
    }

    /// Where a page starts, and what it is.
    fn page(&self, number: u64) -> Result<(usize, u16), Damage> {
        let start = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(self.page_size))
            .ok_or(Damage::Truncated)?;
        if self.word(start)? != number {
            return Err(Damage::WrongPage);
        }
        Ok((start, self.u16(start + self.word + 2)?))
    }

    fn node(&self, at: usize) -> Result<Node, Damage> {
        let (first, second) = (u32::from(self.u16(at)?), u32::from(self.u16(at + 2)?));
        let (low, high) =
            if cfg!(target_endian = "little") { (first, second) } else { (second, first) };
        Ok(Node {
            number: low | high << 16,
            flags: self.u16(at + 4)?,
            key: at + NODE_HEADER,
            key_length: usize::from(self.u16(at + 6)?),
        })
    }

    fn value(&self, node: &Node) -> Result<&'a [u8], Damage> {
        let (at, length) = (node.key + node.key_length, node.number as usize);
        if node.flags & BIG == 0 {
            return self.slice(at, length);
        }
        let (start, flags) = self.page(self.word(at)?)?;
        if flags & OVERFLOW == 0 {
            return Err(Damage::WrongPage);
        }
        self.slice(start + self.page_header(), length)
    }
}

struct Node {
    /// The lower 32 bits of the child's page, or the length of the value.
    number: u32,
    flags: u16,
    /// Where the key starts.
    key: usize,
    key_length: usize,
}

/// A walk over all pages below one. It visits each page once at most, and takes no more bytes than
/// the file has, whatever the file claims.
struct Walk<'a> {
    file: File<'a>,
    pages_left: usize,
    bytes_left: usize,
    pairs: BTreeMap<String, Vec<u8>>,
}

impl Walk<'_> {
    fn page(&mut self, number: u64, depth_left: u32) -> Result<(), Damage> {
        let file = self.file;
        self.pages_left = self.pages_left.checked_sub(1).ok_or(Damage::Circle)?;
        let (start, kind) = file.page(number)?;
        let header = file.page_header();
        let offsets = usize::from(file.u16(start + file.word + 4)?).saturating_sub(header) / 2;
        for index in 0..offsets {
            let offset = usize::from(file.u16(start + header + 2 * index)?);
            let node = file.node(start + offset)?;
            match kind & (BRANCH | LEAF) {
                BRANCH if depth_left == 0 => return Err(Damage::Circle),
                BRANCH => {
                    let top = if file.word == 8 { u64::from(node.flags) << 32 } else { 0 };
                    self.page(u64::from(node.number) | top, depth_left - 1)?;
                }
                LEAF => self.pair(&node)?,
                _ => return Err(Damage::WrongPage),
            }
        }
        Ok(())
    }

    fn pair(&mut self, node: &Node) -> Result<(), Damage> {
        let key = self.file.slice(node.key, node.key_length)?;
        let value = self.file.value(node)?;
        let taken = key.len() + value.len();
        self.bytes_left = self.bytes_left.checked_sub(taken).ok_or(Damage::Overlap)?;
        if let Ok(key) = std::str::from_utf8(key)
            && node.flags & NOT_A_VALUE == 0
        {
            self.pairs.insert(key.to_owned(), value.to_owned());
        }
        Ok(())
    }
}
