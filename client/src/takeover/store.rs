//! The file in which Mender's client keeps what it must not forget.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::Path,
};

use ring::digest::{SHA256, digest};

use super::{blob, lmdb};

/// Mender's client gives LMDB's default of 1 MiB; a file above this is something else.
const MAX_BYTES: u64 = 16 << 20;

/// The file is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("cannot read it")]
    Read(#[from] io::Error),
    #[error("it is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("it is no LMDB file that can be read")]
    Damaged(#[from] lmdb::Damage),
    #[error("it is neither an LMDB file of this machine's byte order nor a flat list of pairs")]
    Foreign,
}

/// The content of the store at one moment.
#[derive(Debug)]
pub(super) struct OldStore {
    pairs: BTreeMap<String, Vec<u8>>,
}

/// The bytes of the store's file, `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut content = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_BYTES {
        return Err(StoreError::TooLarge);
    }
    Ok(Some(content))
}

/// Changes whenever the old client writes anything.
pub(super) fn fingerprint(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest(&SHA256, content).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl OldStore {
    pub(super) fn parse(content: &[u8]) -> Result<Self, StoreError> {
        let pairs = if lmdb::is_lmdb(content) {
            lmdb::pairs(content)?
        } else {
            blob::pairs(content).ok_or(StoreError::Foreign)?
        };
        Ok(Self { pairs })
    }

    /// The value of a key, without the zero byte at its end that some writer may have left.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let value = self.pairs.get(key)?;
        Some(value.strip_suffix(b"\0").unwrap_or(value))
    }

    /// A value that is text and not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        let value = std::str::from_utf8(self.get(key)?).ok()?;
        (!value.is_empty()).then(|| value.to_owned())
    }
}
