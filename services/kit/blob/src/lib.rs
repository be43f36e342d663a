//! Large bytes at rest: Artifacts, logs and recordings, in S3 or in a directory.
//!
//! Bytes flow through in constant memory, in both directions. A blob becomes visible whole or
//! not at all: a put that fails, is cut or dies with its process leaves nothing under its key,
//! and what it leaves elsewhere is removed by [`Blobs::remove_stale_uploads`].
//!
//! Architecture invariant: only this crate knows the AWS SDK, and nothing here decides what is
//! kept; services own the rows that say so.

mod directory;
mod error;
mod key;
mod s3;
mod settings;

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;

pub use self::{
    directory::DirectoryBlobs,
    error::{BlobError, StdError},
    key::{BlobKey, BlobKind, BlobPrefix, ParseBlobKeyError},
    s3::{S3Blobs, S3Config},
    settings::BlobSettings,
};

/// The bytes of a blob on their way in. An error ends the put, which then leaves nothing.
pub type Content<'a> = BoxStream<'a, Result<Bytes, StdError>>;

/// Where large bytes are kept.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Stores everything that `content` yields under `key`, replacing what was there, and
    /// gives its size in bytes. Nothing becomes visible unless `content` ends without an
    /// error, which is otherwise given back as [`BlobError::Content`].
    async fn put_stream(&self, key: &BlobKey, content: Content<'_>) -> Result<u64, BlobError>;

    /// The blob, or the part of it that `range` names; `None` when there is none.
    async fn get(&self, key: &BlobKey, range: ByteRange) -> Result<Option<Blob>, BlobError>;

    /// What is known about the blob; `None` when there is none.
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>, BlobError>;

    /// Removes the blob. That there is none is no error.
    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;

    /// A URL that serves the blob to anybody for a while; `None` where the store has no
    /// public endpoint.
    async fn presign_get(
        &self,
        key: &BlobKey,
        presign: &Presign<'_>,
    ) -> Result<Option<String>, BlobError>;

    /// All blobs under `prefix`, in no particular order. What is not ours is left out.
    fn list(&self, prefix: BlobPrefix) -> BoxStream<'_, Result<BlobEntry, BlobError>>;

    /// Removes what uploads that began before `before` have left behind; gives how many.
    /// `before` must lie further back than any upload under way may take.
    async fn remove_stale_uploads(&self, before: DateTime<Utc>) -> Result<u64, BlobError>;

    /// Whether the store can be used: for readiness.
    async fn check(&self) -> Result<(), BlobError>;
}

/// A part of a blob: from `start` up to, not including, `end`; to the blob's end without one,
/// or with one beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// The byte after the last one.
    pub end: Option<u64>,
}

impl ByteRange {
    /// The whole blob.
    pub const ALL: Self = Self { start: 0, end: None };

    /// The bytes from `start` to the end.
    pub const fn starting_at(start: u64) -> Self {
        Self { start, end: None }
    }

    /// The bytes that it names in a blob of `size` bytes.
    fn within(self, size: u64) -> Result<Range<u64>, BlobError> {
        let end = self.end.map_or(size, |end| end.min(size));
        if self == Self::ALL || self.start < end {
            Ok(self.start..end)
        } else {
            Err(BlobError::Range { size })
        }
    }
}

impl From<Range<u64>> for ByteRange {
    fn from(range: Range<u64>) -> Self {
        Self { start: range.start, end: Some(range.end) }
    }
}

/// A blob on its way out.
pub struct Blob {
    /// What is known about the whole blob.
    pub info: BlobInfo,
    /// Which of its bytes `body` yields.
    pub range: Range<u64>,
    /// The bytes. An error, or fewer bytes than `range` has, means that the store failed.
    pub body: BoxStream<'static, Result<Bytes, BlobError>>,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob")
            .field("info", &self.info)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// What is known about a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its size in bytes.
    pub size: u64,
    /// When it became visible, as the store's clock says.
    pub modified: DateTime<Utc>,
}

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its key.
    pub key: BlobKey,
    /// What is known about it.
    pub info: BlobInfo,
}

/// How a public URL serves a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presign<'a> {
    /// How long the URL holds, at most seven days.
    pub lifetime: Duration,
    /// The name that the file gets on the other side.
    pub file_name: &'a str,
    /// The content type that it is served with.
    pub content_type: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        assert_eq!(ByteRange::ALL.within(0).unwrap(), 0..0);
        assert_eq!(ByteRange::starting_at(3).within(10).unwrap(), 3..10);
        assert_eq!(ByteRange::from(3..5).within(10).unwrap(), 3..5);
        assert_eq!(ByteRange::from(3..50).within(10).unwrap(), 3..10);
        for outside in [ByteRange::starting_at(10), ByteRange::from(5..5), ByteRange::from(20..30)]
        {
            assert!(matches!(outside.within(10), Err(BlobError::Range { size: 10 })));
        }
    }
}
