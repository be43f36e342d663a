//! A directory as the store, for trials and small fleets.
//!
//! Blobs lie in `<tenant>/<kind>/<id>`. Uploads grow in `.uploads` beside them, and are moved
//! into place when they are whole and on the disk. Everything belongs to its owner alone.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, SeekFrom},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter},
    task::spawn_blocking,
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use crate::{
    Blob, BlobEntry, BlobError, BlobInfo, BlobKey, BlobPrefix, Blobs, ByteRange, Content, Presign,
};

const UPLOADS: &str = ".uploads";

/// Bytes written, or read, at a time.
const BUFFER: usize = 256 * 1024;

/// Blobs in a directory of this machine.
#[derive(Debug, Clone)]
pub struct DirectoryBlobs {
    root: PathBuf,
}

impl DirectoryBlobs {
    /// Uses `root`, which is made (mode 0700) where it does not exist.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = root.into();
        let uploads = root.join(UPLOADS);
        make_dirs(&uploads).map_err(BlobError::file("create", &uploads))?;
        Ok(Self { root })
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.to_string())
    }
}

/// Makes a folder and those above it, each for its owner alone.
fn make_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// An upload that is removed unless it is kept: also when its future is dropped.
struct Upload {
    path: PathBuf,
    kept: bool,
}

impl Upload {
    fn begin(root: &Path) -> Result<(Self, File), BlobError> {
        let path = root.join(UPLOADS).join(Uuid::new_v4().to_string());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(BlobError::file("create", &path))?;
        Ok((Self { path, kept: false }, file))
    }

    /// Moves the upload to `target`, so that it is there after a power cut, too.
    fn keep(mut self, root: &Path, target: &Path) -> Result<(), BlobError> {
        let dir = target.parent().unwrap_or(root);
        let kept = make_dirs(dir)
            .and_then(|()| std::fs::rename(&self.path, target))
            .and_then(|()| sync_up_to(root, dir));
        kept.map_err(BlobError::file("write", target))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is stale later.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes the entries of `dir` and of the folders above it, up to `root`, to the disk.
fn sync_up_to(root: &Path, dir: &Path) -> io::Result<()> {
    for dir in dir.ancestors().take_while(|above| above.starts_with(root)) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Writes everything that `content` yields, down to the disk; gives the number of bytes.
async fn write(file: File, path: &Path, mut content: Content<'_>) -> Result<u64, BlobError> {
    let mut file = BufWriter::with_capacity(BUFFER, tokio::fs::File::from_std(file));
    let mut size = 0;
    while let Some(bytes) = content.try_next().await.map_err(BlobError::Content)? {
        file.write_all(&bytes).await.map_err(BlobError::file("write", path))?;
        size += bytes.len() as u64;
    }
    file.flush().await.map_err(BlobError::file("write", path))?;
    file.get_ref().sync_all().await.map_err(BlobError::file("write", path))?;
    Ok(size)
}

fn info(metadata: &std::fs::Metadata) -> BlobInfo {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    BlobInfo { size: metadata.len(), modified: DateTime::from(modified) }
}

/// `None` for what does not exist.
fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs file operations where they may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[async_trait]
impl Blobs for DirectoryBlobs {
    async fn put_stream(&self, key: &BlobKey, content: Content<'_>) -> Result<u64, BlobError> {
        let root = self.root.clone();
        let (upload, file) = blocking(move || Upload::begin(&root)).await?;
        let size = write(file, &upload.path, content).await?;
        let (root, target) = (self.root.clone(), self.path(key));
        blocking(move || upload.keep(&root, &target)).await?;
        Ok(size)
    }

    async fn get(&self, key: &BlobKey, range: ByteRange) -> Result<Option<Blob>, BlobError> {
        let path = self.path(key);
        let opened = existing(tokio::fs::File::open(&path).await);
        let Some(mut file) = opened.map_err(BlobError::file("read", &path))? else {
            return Ok(None);
        };
        let metadata = file.metadata().await.map_err(BlobError::file("read", &path))?;
        let info = info(&metadata);
        let range = range.within(info.size)?;
        file.seek(SeekFrom::Start(range.start)).await.map_err(BlobError::file("read", &path))?;
        let reader = file.take(range.end - range.start);
        let body = ReaderStream::with_capacity(reader, BUFFER)
            .map(move |read| read.map_err(BlobError::file("read", &path)))
            .boxed();
        Ok(Some(Blob { info, range, body }))
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>, BlobError> {
        let path = self.path(key);
        let metadata = existing(tokio::fs::metadata(&path).await);
        Ok(metadata.map_err(BlobError::file("read", &path))?.as_ref().map(info))
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let path = self.path(key);
        blocking(move || {
            let removed = existing(std::fs::remove_file(&path)).and_then(|removed| {
                match (removed, path.parent()) {
                    (Some(()), Some(dir)) => File::open(dir)?.sync_all(),
                    _ => Ok(()),
                }
            });
            removed.map_err(BlobError::file("remove", &path))
        })
        .await
    }

    async fn presign_get(&self, _: &BlobKey, _: &Presign<'_>) -> Result<Option<String>, BlobError> {
        Ok(None)
    }

    fn list(&self, prefix: BlobPrefix) -> BoxStream<'_, Result<BlobEntry, BlobError>> {
        let root = self.root.clone();
        // A small fleet's directory; its names fit into memory.
        stream::once(blocking(move || list(&root, &prefix.to_string())))
            .map_ok(|entries| stream::iter(entries.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn remove_stale_uploads(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        let uploads = self.root.join(UPLOADS);
        blocking(move || {
            let mut removed = 0;
            for (path, metadata) in entries(&uploads)? {
                // An upload under way is written to again and again.
                if info(&metadata).modified < before {
                    existing(std::fs::remove_file(&path))
                        .map_err(BlobError::file("remove", &path))?;
                    removed += 1;
                }
            }
            Ok(removed)
        })
        .await
    }

    async fn check(&self) -> Result<(), BlobError> {
        let path = self.root.join(UPLOADS);
        tokio::fs::metadata(&path).await.map(drop).map_err(BlobError::file("read", &path))
    }
}

/// What lies in a folder. Things that vanish meanwhile are left out.
fn entries(dir: &Path) -> Result<Vec<(PathBuf, std::fs::Metadata)>, BlobError> {
    let read = existing(std::fs::read_dir(dir)).map_err(BlobError::file("read", dir))?;
    let mut found = Vec::new();
    for entry in read.into_iter().flatten() {
        let entry = entry.map_err(BlobError::file("read", dir))?;
        let metadata = existing(entry.metadata()).map_err(BlobError::file("read", entry.path()))?;
        found.extend(metadata.map(|metadata| (entry.path(), metadata)));
    }
    Ok(found)
}

/// All blobs whose key begins with `prefix`, which ends at a slash.
fn list(root: &Path, prefix: &str) -> Result<Vec<BlobEntry>, BlobError> {
    let mut blobs = Vec::new();
    let mut dirs = vec![root.join(prefix)];
    while let Some(dir) = dirs.pop() {
        for (path, metadata) in entries(&dir)? {
            if metadata.is_dir() {
                dirs.push(path);
            } else if let Some(key) =
                path.strip_prefix(root).ok().and_then(|name| name.to_str()?.parse().ok())
            {
                blobs.push(BlobEntry { key, info: info(&metadata) });
            }
        }
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;
    use rota_types::TenantId;

    use super::*;
    use crate::BlobKind;

    fn content(chunks: usize) -> Content<'static> {
        let chunk = Bytes::from(vec![7; 64 * 1024]);
        stream::iter((0..chunks).map(move |_| Ok(chunk.clone()))).boxed()
    }

    fn key() -> BlobKey {
        BlobKey::new(TenantId::mint(), BlobKind::Artifact, Uuid::now_v7())
    }

    #[tokio::test]
    async fn a_full_disk_is_said_so() {
        // Writes to this device fail as those to a full disk do.
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write(file, Path::new("/dev/full"), content(16)).await.unwrap_err();
        assert!(matches!(error, BlobError::NoSpace), "{error:?}");
    }

    #[tokio::test]
    async fn a_put_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = DirectoryBlobs::open(dir.path()).unwrap();
        let stuck = content(4).chain(stream::pending()).boxed();
        let key = key();
        let uploads = dir.path().join(UPLOADS);
        {
            let mut put = blobs.put_stream(&key, stuck);
            // Polled until the upload exists, then dropped.
            std::future::poll_fn(|context| {
                assert!(put.as_mut().poll(context).is_pending());
                if std::fs::read_dir(&uploads).unwrap().count() == 1 {
                    return std::task::Poll::Ready(());
                }
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            drop(put);
        }
        // What was being created meanwhile is removed when that is done.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::fs::read_dir(&uploads).unwrap().count() > 0 {
            assert!(std::time::Instant::now() < deadline, "the upload is left");
            tokio::task::yield_now().await;
        }
        assert_eq!(blobs.head(&key).await.unwrap(), None);
    }

    #[tokio::test]
    async fn everything_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("blobs");
        let blobs = DirectoryBlobs::open(&root).unwrap();
        let key = key();
        blobs.put_stream(&key, content(1)).await.unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&root), 0o700);
        assert_eq!(mode(blobs.path(&key).parent().unwrap()), 0o700);
        assert_eq!(mode(&blobs.path(&key)), 0o600);
    }

    #[tokio::test]
    async fn what_a_crash_left_is_removed_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = DirectoryBlobs::open(dir.path()).unwrap();
        let left = dir.path().join(UPLOADS).join("left");
        std::fs::write(&left, "half").unwrap();
        let hour = chrono::TimeDelta::hours(1);
        assert_eq!(blobs.remove_stale_uploads(Utc::now() - hour).await.unwrap(), 0);
        assert!(left.exists());
        assert_eq!(blobs.remove_stale_uploads(Utc::now() + hour).await.unwrap(), 1);
        assert!(!left.exists());
    }

    #[tokio::test]
    async fn strange_files_are_not_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = DirectoryBlobs::open(dir.path()).unwrap();
        std::fs::write(dir.path().join("README"), "x").unwrap();
        let found: Vec<_> = blobs.list(BlobPrefix::All).try_collect().await.unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
}
