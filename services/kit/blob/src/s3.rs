//! S3 as the store: Amazon's, or anything that speaks like it.

mod upload;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{
        Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        StalledStreamProtectionConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_object::GetObjectOutput, head_object::HeadObjectError},
    presigning::PresigningConfig,
};
use aws_smithy_http_client::tls;
use aws_smithy_types::DateTime as StoreTime;
use chrono::{DateTime, Utc};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Blob, BlobEntry, BlobError, BlobInfo, BlobKey, BlobPrefix, Blobs, ByteRange, Content, Presign,
    error::StdError,
};

/// For a connection to the store.
const CONNECT: Duration = Duration::from_secs(3);
/// For the beginning of an answer, and for each further piece of a body.
const READ: Duration = Duration::from_secs(30);
/// For one try of a request, of which a part's upload is the longest.
const ATTEMPT: Duration = Duration::from_mins(2);

/// Where the bucket is, and how to get in.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The bucket, which must exist.
    pub bucket: String,
    /// The service's URL; Amazon's own for the region when absent.
    pub endpoint: Option<String>,
    /// The URL under which devices reach the service. Without it no public links are made.
    pub public_endpoint: Option<String>,
    /// The region: `us-east-1` where the service knows none.
    pub region: String,
    /// The access key's id.
    pub access_key: String,
    /// The access key's secret.
    pub secret_key: SecretString,
}

/// Blobs in a bucket.
#[derive(Clone)]
pub struct S3Blobs {
    client: Client,
    /// Signs for the public endpoint, which is part of what is signed.
    public: Option<Client>,
    bucket: String,
}

impl fmt::Debug for S3Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Blobs").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl S3Blobs {
    /// Prepares to use the bucket; nothing is sent yet.
    pub fn new(config: &S3Config) -> Self {
        let public = config.public_endpoint.as_deref();
        Self {
            client: client(config, config.endpoint.as_deref()),
            public: public.map(|endpoint| client(config, Some(endpoint))),
            bucket: config.bucket.clone(),
        }
    }
}

fn client(config: &S3Config, endpoint: Option<&str>) -> Client {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let secret = config.secret_key.expose_secret();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .operation_attempt_timeout(ATTEMPT)
        .build();
    let mut builder = aws_sdk_s3::Config::builder()
        .http_client(http)
        .behavior_version_latest()
        .region(Region::new(config.region.clone()))
        .credentials_provider(Credentials::new(&config.access_key, secret, None, None, "settings"))
        // The SDK's own checksums are trailers that older stores refuse.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // It takes a slow device at the other end for a stalled store.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        // Buckets as host names need a wildcard in DNS, which only Amazon has.
        builder = builder.endpoint_url(endpoint).force_path_style(true);
    }
    Client::from_conf(builder.build())
}

/// What a request came to.
fn failed<E, R>(operation: &'static str) -> impl FnOnce(SdkError<E, R>) -> BlobError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    R: fmt::Debug + Send + Sync + 'static,
{
    move |error| match error.code() {
        // Minio's and Ceph's words for a full disk.
        Some("XMinioStorageFull" | "InsufficientStorage" | "QuotaExceeded") => BlobError::NoSpace,
        _ => BlobError::Store { operation, source: Box::new(error) },
    }
}

fn size(length: Option<i64>) -> u64 {
    length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0)
}

fn time(at: Option<&StoreTime>) -> DateTime<Utc> {
    at.and_then(|at| DateTime::from_timestamp(at.secs(), at.subsec_nanos())).unwrap_or_default()
}

/// The `Range` header that asks for a part; none for the whole.
fn header(range: ByteRange) -> Option<String> {
    match range {
        ByteRange::ALL => None,
        ByteRange { start, end: None } => Some(format!("bytes={start}-")),
        // Amazon refuses ends beyond 2^63.
        ByteRange { start, end: Some(end) } => {
            Some(format!("bytes={start}-{}", (end - 1).min(i64::MAX.unsigned_abs())))
        }
    }
}

/// The whole blob's size in a `Content-Range` header: `bytes 0-9/100`.
fn total(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}

/// The bytes of an answer, none of which may be long in coming.
fn body(answer: GetObjectOutput) -> BoxStream<'static, Result<bytes::Bytes, BlobError>> {
    stream::try_unfold(answer.body, |mut body| async move {
        match tokio::time::timeout(READ, body.try_next()).await {
            Ok(Ok(Some(bytes))) => Ok(Some((bytes, body))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                Err(BlobError::Store { operation: "send the whole blob", source: error.into() })
            }
            Err(_) => Err(BlobError::Silent),
        }
    })
    .boxed()
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn put_stream(&self, key: &BlobKey, content: Content<'_>) -> Result<u64, BlobError> {
        upload::put(&self.client, &self.bucket, key, content).await
    }

    async fn get(&self, key: &BlobKey, range: ByteRange) -> Result<Option<Blob>, BlobError> {
        if range.end.is_some_and(|end| end <= range.start) {
            let Some(info) = self.head(key).await? else { return Ok(None) };
            return Err(BlobError::Range { size: info.size });
        }
        let request = self.client.get_object().bucket(&self.bucket).key(key.to_string());
        let answer = request.set_range(header(range)).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) if error.code() == Some("InvalidRange") => {
                let Some(info) = self.head(key).await? else { return Ok(None) };
                return Err(BlobError::Range { size: info.size });
            }
            Err(error) => return Err(failed("give the blob")(error)),
        };
        let sent = size(answer.content_length);
        let size = match &answer.content_range {
            Some(range) => total(range).ok_or_else(|| BlobError::Store {
                operation: "say how large the blob is",
                source: format!("content range {range:?}").into(),
            })?,
            None => sent,
        };
        let info = BlobInfo { size, modified: time(answer.last_modified.as_ref()) };
        let range = range.within(size)?;
        Ok(Some(Blob { info, range, body: body(answer) }))
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>, BlobError> {
        let answer =
            self.client.head_object().bucket(&self.bucket).key(key.to_string()).send().await;
        match answer {
            Ok(answer) => Ok(Some(BlobInfo {
                size: size(answer.content_length),
                modified: time(answer.last_modified.as_ref()),
            })),
            Err(error) if error.as_service_error().is_some_and(HeadObjectError::is_not_found) => {
                Ok(None)
            }
            Err(error) => Err(failed("describe the blob")(error)),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let answer =
            self.client.delete_object().bucket(&self.bucket).key(key.to_string()).send().await;
        match answer {
            Ok(_) => Ok(()),
            // Amazon says nothing of the kind; others do.
            Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(failed("remove the blob")(error)),
        }
    }

    async fn presign_get(
        &self,
        key: &BlobKey,
        presign: &Presign<'_>,
    ) -> Result<Option<String>, BlobError> {
        let Some(client) = &self.public else { return Ok(None) };
        let refused = |source: StdError| BlobError::Store { operation: "sign a link", source };
        let config = PresigningConfig::expires_in(presign.lifetime)
            .map_err(|error| refused(Box::new(error)))?;
        let signed = client
            .get_object()
            .bucket(&self.bucket)
            .key(key.to_string())
            .response_content_disposition(disposition(presign.file_name))
            .response_content_type(presign.content_type)
            .presigned(config)
            .await
            .map_err(|error| refused(Box::new(error)))?;
        Ok(Some(signed.uri().to_owned()))
    }

    fn list(&self, prefix: BlobPrefix) -> BoxStream<'_, Result<BlobEntry, BlobError>> {
        let pages = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix.to_string())
            .into_paginator()
            .send();
        let pages = stream::try_unfold(pages, |mut pages| async move {
            let page = pages.try_next().await.map_err(failed("list its blobs"))?;
            Ok::<_, BlobError>(page.map(|page| (page, pages)))
        });
        pages
            .map_ok(|page| {
                let entries = page.contents.unwrap_or_default().into_iter();
                stream::iter(entries.filter_map(|object| {
                    let key = object.key.as_deref()?.parse().ok()?;
                    let modified = time(object.last_modified.as_ref());
                    Some(Ok(BlobEntry {
                        key,
                        info: BlobInfo { size: size(object.size), modified },
                    }))
                }))
            })
            .try_flatten()
            .boxed()
    }

    async fn remove_stale_uploads(&self, before: DateTime<Utc>) -> Result<u64, BlobError> {
        upload::remove_stale(&self.client, &self.bucket, before).await
    }

    async fn check(&self) -> Result<(), BlobError> {
        let answer = self.client.head_bucket().bucket(&self.bucket).send().await;
        answer.map(drop).map_err(failed("find its bucket"))
    }
}

/// A `Content-Disposition` that names the file. Only what needs no quoting stays.
fn disposition(file_name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.+ ".contains(c) { c } else { '_' };
    let name: String = file_name.chars().map(plain).collect();
    format!("attachment; filename=\"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_asked_for_and_understood() {
        assert_eq!(header(ByteRange::ALL), None);
        assert_eq!(header(ByteRange::starting_at(5)).unwrap(), "bytes=5-");
        assert_eq!(header(ByteRange::from(5..10)).unwrap(), "bytes=5-9");
        assert_eq!(total("bytes 5-9/100"), Some(100));
        assert_eq!(total("bytes 5-9/*"), None);
    }

    #[test]
    fn file_names_cannot_leave_their_quotes() {
        assert_eq!(disposition("app-1.0.mender"), "attachment; filename=\"app-1.0.mender\"");
        assert_eq!(disposition("a\"; x=\r\n"), "attachment; filename=\"a__ x___\"");
    }
}
