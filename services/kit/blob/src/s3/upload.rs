//! Uploads to S3: in one request when small, in parts when not.

use std::sync::Arc;

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream::FuturesUnordered};

use super::{failed, time};
use crate::{BlobError, BlobKey, Content};

/// Bytes of a part; all but the last have as many. S3 wants at least 5 MiB.
const PART: usize = 8 * 1024 * 1024;

/// Parts under way at once. With the one being filled, an upload holds this many and one more
/// in memory.
const AT_ONCE: usize = 2;

/// Parts that S3 takes in one upload.
const MOST_PARTS: i32 = 10_000;

/// Uploads everything that `content` yields; gives the number of bytes.
pub(super) async fn put(
    client: &Client,
    bucket: &str,
    key: &BlobKey,
    content: Content<'_>,
) -> Result<u64, BlobError> {
    let mut parts = Parts { content, left: BytesMut::new(), ended: false };
    let first = parts.next().await?.unwrap_or_default();
    if parts.ended {
        return whole(client, bucket, key, first).await;
    }
    let upload = Multipart::begin(client, bucket, key).await?;
    let sent = upload.send(first, &mut parts).await;
    match sent {
        Ok((size, parts)) => {
            upload.complete(parts).await?;
            Ok(size)
        }
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

async fn whole(
    client: &Client,
    bucket: &str,
    key: &BlobKey,
    content: Bytes,
) -> Result<u64, BlobError> {
    let size = content.len() as u64;
    let put = client.put_object().bucket(bucket).key(key.to_string());
    put.body(ByteStream::from(content)).send().await.map_err(failed("take the blob"))?;
    Ok(size)
}

/// Cuts content into parts.
struct Parts<'a> {
    content: Content<'a>,
    left: BytesMut,
    ended: bool,
}

impl Parts<'_> {
    /// The next part; `None` after the last. `ended` says whether any more can come.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while !self.ended && self.left.len() < PART {
            match self.content.try_next().await.map_err(BlobError::Content)? {
                Some(bytes) => self.left.extend_from_slice(&bytes),
                None => self.ended = true,
            }
        }
        if self.left.is_empty() {
            return Ok(None);
        }
        let part = self.left.split_to(self.left.len().min(PART)).freeze();
        Ok(Some(part))
    }
}

/// A multipart upload under way. Dropped before its end, it is aborted in the background.
struct Multipart {
    target: Arc<Target>,
    ended: bool,
}

struct Target {
    client: Client,
    bucket: String,
    key: String,
    upload_id: String,
}

impl Multipart {
    async fn begin(client: &Client, bucket: &str, key: &BlobKey) -> Result<Self, BlobError> {
        let (bucket, key) = (bucket.to_owned(), key.to_string());
        let begun = client.create_multipart_upload().bucket(&bucket).key(&key).send().await;
        let begun = begun.map_err(failed("begin an upload"))?;
        let upload_id = begun.upload_id.ok_or_else(|| BlobError::Store {
            operation: "name the upload",
            source: "no upload id".into(),
        })?;
        let target = Target { client: client.clone(), bucket, key, upload_id };
        Ok(Self { target: Arc::new(target), ended: false })
    }

    /// Sends all parts, a few at once; gives the number of bytes, and the parts in order.
    async fn send(
        &self,
        first: Bytes,
        parts: &mut Parts<'_>,
    ) -> Result<(u64, Vec<CompletedPart>), BlobError> {
        let mut under_way = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut size = 0;
        let mut number = 1;
        let mut next = Some(first);
        while let Some(part) = next {
            if number > MOST_PARTS {
                return Err(BlobError::TooLarge { limit: MOST_PARTS as u64 * PART as u64 });
            }
            size += part.len() as u64;
            under_way.push(self.target.part(number, part));
            number += 1;
            if under_way.len() == AT_ONCE
                && let Some(part) = under_way.try_next().await?
            {
                done.push(part);
            }
            next = fill(parts, &mut under_way, &mut done).await?;
        }
        while let Some(part) = under_way.try_next().await? {
            done.push(part);
        }
        done.sort_by_key(|part| part.part_number);
        Ok((size, done))
    }

    async fn complete(mut self, parts: Vec<CompletedPart>) -> Result<(), BlobError> {
        let Target { client, bucket, key, upload_id } = &*self.target;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let completed = client
            .complete_multipart_upload()
            .bucket(bucket)
            .key(key)
            .upload_id(upload_id)
            .multipart_upload(parts)
            .send()
            .await;
        completed.map_err(failed("put the parts together"))?;
        self.ended = true;
        Ok(())
    }

    async fn abort(mut self) {
        self.ended = true;
        self.target.abort().await;
    }
}

/// The next part, while those under way go on.
async fn fill<F>(
    parts: &mut Parts<'_>,
    under_way: &mut FuturesUnordered<F>,
    done: &mut Vec<CompletedPart>,
) -> Result<Option<Bytes>, BlobError>
where
    F: Future<Output = Result<CompletedPart, BlobError>>,
{
    let next = parts.next();
    tokio::pin!(next);
    loop {
        tokio::select! {
            next = &mut next => return next,
            Some(part) = under_way.next() => done.push(part?),
        }
    }
}

impl Target {
    async fn part(&self, number: i32, content: Bytes) -> Result<CompletedPart, BlobError> {
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.upload_id)
            .part_number(number)
            .body(ByteStream::from(content))
            .send()
            .await
            .map_err(failed("take a part"))?;
        Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
    }

    async fn abort(&self) {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.upload_id)
            .send()
            .await;
        if let Err(error) = aborted {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                key = self.key,
                error,
                "cannot abort an upload; it is removed when stale"
            );
        }
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if !self.ended
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let target = Arc::clone(&self.target);
            runtime.spawn(async move { target.abort().await });
        }
    }
}

/// Aborts uploads that began before `before`; gives how many.
pub(super) async fn remove_stale(
    client: &Client,
    bucket: &str,
    before: DateTime<Utc>,
) -> Result<u64, BlobError> {
    let mut removed = 0;
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let page = client
            .list_multipart_uploads()
            .bucket(bucket)
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker)
            .send()
            .await;
        let page = match page {
            Ok(page) => page,
            Err(error) if error.code() == Some("NotImplemented") => {
                tracing::debug!("the object store lists no uploads; its own rules must end them");
                return Ok(removed);
            }
            Err(error) => return Err(failed("list its uploads")(error)),
        };
        for upload in page.uploads.unwrap_or_default() {
            let (Some(key), Some(upload_id)) = (upload.key, upload.upload_id) else { continue };
            let ours = key.parse::<BlobKey>().is_ok();
            if ours && time(upload.initiated.as_ref()) < before {
                let (client, bucket) = (client.clone(), bucket.to_owned());
                Target { client, bucket, key, upload_id }.abort().await;
                removed += 1;
            }
        }
        (key_marker, id_marker) = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) || key_marker.is_none() {
            return Ok(removed);
        }
    }
}
