//! One behaviour suite, run against every store: what a service may rely on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod s3_server;
mod suite;

use std::sync::Arc;

use rota_blob::{Blobs, DirectoryBlobs};
use s3_server::S3Server;

/// Makes a test of each behaviour for each store.
macro_rules! behaviours {
    ($($behaviour:ident),+ $(,)?) => {
        mod directory {
            $(#[tokio::test]
            async fn $behaviour() {
                let dir = tempfile::tempdir().unwrap();
                let blobs = super::DirectoryBlobs::open(dir.path()).unwrap();
                super::suite::$behaviour(super::Arc::new(blobs)).await;
            })+
        }

        mod s3 {
            $(#[tokio::test]
            async fn $behaviour() {
                let server = super::S3Server::start().await;
                let blobs: super::Arc<dyn super::Blobs> = super::Arc::new(server.blobs());
                super::suite::$behaviour(blobs).await;
            })+
        }
    };
}

behaviours!(
    a_blob_comes_back_as_it_was_put,
    an_empty_blob_is_a_blob,
    a_large_blob_comes_back_and_in_ranges,
    ranges_outside_of_the_blob_are_errors,
    what_is_not_there_is_none,
    a_second_put_replaces_the_first,
    a_failing_content_leaves_nothing,
    a_failing_content_leaves_the_blob_that_was_there,
    a_put_that_is_dropped_leaves_nothing,
    deleting_twice_is_no_error,
    tenants_are_listed_apart,
    a_store_that_works_is_ready,
);

#[tokio::test]
async fn a_presigned_link_serves_the_blob_to_anybody() {
    let server = S3Server::start().await;
    server.link_is_served_and_cannot_be_changed().await;
}

#[tokio::test]
async fn stale_uploads_are_removed_and_young_ones_stay() {
    let server = S3Server::start().await;
    server.stale_uploads_are_removed().await;
}

#[tokio::test]
async fn a_store_without_its_bucket_is_not_ready() {
    let server = S3Server::start().await;
    server.without_bucket_is_not_ready().await;
}

#[tokio::test]
async fn a_store_that_is_not_there_is_unavailable() {
    s3_server::nobody_there_is_unavailable().await;
}

#[tokio::test]
async fn a_directory_gives_no_links() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirectoryBlobs::open(dir.path()).unwrap();
    let link = blobs.presign_get(&suite::key(), &suite::presign()).await;
    assert_eq!(link.unwrap(), None);
}
