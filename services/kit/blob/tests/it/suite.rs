//! The behaviours.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use rota_blob::{BlobError, BlobKey, BlobKind, BlobPrefix, Blobs, ByteRange, Content, Presign};
use rota_types::TenantId;
use uuid::Uuid;

type Store = Arc<dyn Blobs>;

/// More than two parts of a multipart upload, and not a multiple of one.
const LARGE: usize = 20 * 1024 * 1024 + 12_345;

pub(crate) fn key() -> BlobKey {
    BlobKey::new(TenantId::mint(), BlobKind::Artifact, Uuid::now_v7())
}

pub(crate) fn presign() -> Presign<'static> {
    Presign {
        lifetime: Duration::from_mins(1),
        file_name: "app-1.0.mender",
        content_type: "application/vnd.mender-artifact",
    }
}

/// Bytes that differ from one place to the next, so that a part in the wrong place is seen.
pub(crate) fn bytes(size: usize) -> Bytes {
    let byte = |at: usize| u8::try_from((at * 31 + at / 8191) % 251).unwrap();
    (0..size).map(byte).collect()
}

/// `bytes` in pieces as a network delivers them.
pub(crate) fn content(bytes: &Bytes) -> Content<'static> {
    let pieces: Vec<_> = bytes.chunks(61_440).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(pieces).boxed()
}

async fn read(store: &Store, key: &BlobKey, range: ByteRange) -> Bytes {
    let blob = store.get(key, range).await.unwrap().expect("the blob exists");
    let pieces: Vec<Bytes> = blob.body.try_collect().await.unwrap();
    let all = Bytes::from(pieces.concat());
    assert_eq!(all.len() as u64, blob.range.end - blob.range.start);
    all
}

async fn listed(store: &Store, prefix: BlobPrefix) -> Vec<BlobKey> {
    let entries: Vec<_> = store.list(prefix).try_collect().await.unwrap();
    let mut keys: Vec<_> = entries.into_iter().map(|entry| entry.key).collect();
    keys.sort();
    keys
}

async fn nothing_at(store: &Store, key: &BlobKey) {
    assert_eq!(store.head(key).await.unwrap(), None);
    assert!(store.get(key, ByteRange::ALL).await.unwrap().is_none());
    assert_eq!(listed(store, BlobPrefix::All).await, []);
}

pub(crate) async fn a_blob_comes_back_as_it_was_put(store: Store) {
    let (key, sent) = (key(), bytes(100_000));
    assert_eq!(store.put_stream(&key, content(&sent)).await.unwrap(), 100_000);
    assert_eq!(read(&store, &key, ByteRange::ALL).await, sent);
    let info = store.head(&key).await.unwrap().unwrap();
    assert_eq!(info.size, 100_000);
    let age = chrono::Utc::now() - info.modified;
    assert!(age.num_seconds().abs() < 60, "{age}");
}

pub(crate) async fn an_empty_blob_is_a_blob(store: Store) {
    let key = key();
    assert_eq!(store.put_stream(&key, stream::empty().boxed()).await.unwrap(), 0);
    assert_eq!(store.head(&key).await.unwrap().unwrap().size, 0);
    assert!(read(&store, &key, ByteRange::ALL).await.is_empty());
}

pub(crate) async fn a_large_blob_comes_back_and_in_ranges(store: Store) {
    let (key, sent) = (key(), bytes(LARGE));
    assert_eq!(store.put_stream(&key, content(&sent)).await.unwrap(), LARGE as u64);
    assert!(read(&store, &key, ByteRange::ALL).await == sent);
    let middle = 8 * 1024 * 1024 - 5..8 * 1024 * 1024 + 5;
    let range = ByteRange::from(middle.start as u64..middle.end as u64);
    assert_eq!(read(&store, &key, range).await, sent[middle]);
    let tail = ByteRange::starting_at(LARGE as u64 - 7);
    assert_eq!(read(&store, &key, tail).await, sent[LARGE - 7..]);
    let beyond = ByteRange::from(LARGE as u64 - 7..u64::MAX);
    assert_eq!(read(&store, &key, beyond).await, sent[LARGE - 7..]);
}

pub(crate) async fn ranges_outside_of_the_blob_are_errors(store: Store) {
    let key = key();
    store.put_stream(&key, content(&bytes(10))).await.unwrap();
    let error = store.get(&key, ByteRange::starting_at(10)).await.unwrap_err();
    assert!(matches!(error, BlobError::Range { size: 10 }), "{error:?}");
}

pub(crate) async fn what_is_not_there_is_none(store: Store) {
    nothing_at(&store, &key()).await;
}

pub(crate) async fn a_second_put_replaces_the_first(store: Store) {
    let key = key();
    store.put_stream(&key, content(&bytes(70_000))).await.unwrap();
    store.put_stream(&key, content(&bytes(10))).await.unwrap();
    assert_eq!(read(&store, &key, ByteRange::ALL).await, bytes(10));
}

fn failing(good: usize) -> Content<'static> {
    content(&bytes(good)).chain(stream::iter([Err("the checksum differs".into())])).boxed()
}

pub(crate) async fn a_failing_content_leaves_nothing(store: Store) {
    for size in [100, LARGE] {
        let key = key();
        let error = store.put_stream(&key, failing(size)).await.unwrap_err();
        let BlobError::Content(cause) = error else { panic!("{error:?}") };
        assert_eq!(cause.to_string(), "the checksum differs");
        nothing_at(&store, &key).await;
    }
}

pub(crate) async fn a_failing_content_leaves_the_blob_that_was_there(store: Store) {
    let key = key();
    store.put_stream(&key, content(&bytes(10))).await.unwrap();
    store.put_stream(&key, failing(LARGE)).await.unwrap_err();
    assert_eq!(read(&store, &key, ByteRange::ALL).await, bytes(10));
}

pub(crate) async fn a_put_that_is_dropped_leaves_nothing(store: Store) {
    let key = key();
    let (reached, mut end) = tokio::sync::oneshot::channel();
    let stuck = stream::once(async move {
        let _ = reached.send(());
        std::future::pending().await
    });
    let mut put = store.put_stream(&key, content(&bytes(LARGE)).chain(stuck).boxed());
    tokio::select! {
        done = &mut put => panic!("the put ended: {done:?}"),
        reached = &mut end => reached.unwrap(),
    }
    assert!(put.as_mut().now_or_never().is_none());
    drop(put);
    nothing_at(&store, &key).await;
}

pub(crate) async fn deleting_twice_is_no_error(store: Store) {
    let key = key();
    store.put_stream(&key, content(&bytes(10))).await.unwrap();
    store.delete(&key).await.unwrap();
    nothing_at(&store, &key).await;
    store.delete(&key).await.unwrap();
}

pub(crate) async fn tenants_are_listed_apart(store: Store) {
    let (ours, theirs) = (TenantId::mint(), TenantId::mint());
    let artifact = BlobKey::new(ours, BlobKind::Artifact, Uuid::now_v7());
    let log = BlobKey::new(ours, BlobKind::Log, Uuid::now_v7());
    let other = BlobKey::new(theirs, BlobKind::Artifact, Uuid::now_v7());
    for key in [artifact, log, other] {
        store.put_stream(&key, content(&bytes(10))).await.unwrap();
    }
    let mut all = vec![artifact, log, other];
    all.sort();
    assert_eq!(listed(&store, BlobPrefix::All).await, all);
    assert_eq!(listed(&store, BlobPrefix::Tenant(theirs)).await, [other]);
    assert_eq!(listed(&store, BlobPrefix::Kind(ours, BlobKind::Log)).await, [log]);
    assert_eq!(listed(&store, BlobPrefix::Tenant(TenantId::mint())).await, []);
}

pub(crate) async fn a_store_that_works_is_ready(store: Store) {
    store.check().await.unwrap();
}
