//! A real S3 server over HTTP, in this process: s3s-fs, and the one request it lacks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use aws_sdk_s3::config::{Credentials, Region};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rota_blob::{Blobs, S3Blobs, S3Config};
use rota_stack::ReservedPort;
use rota_types::{Coded, ErrorCode};
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::SimpleAuth,
    dto::{self, Timestamp},
    service::S3ServiceBuilder,
};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

use crate::suite;

const BUCKET: &str = "rota";
const ACCESS_KEY: &str = "access";
const SECRET_KEY: &str = "secret";

/// How to get in at an address.
fn config(address: SocketAddr) -> S3Config {
    S3Config {
        bucket: BUCKET.to_owned(),
        endpoint: Some(format!("http://{address}")),
        public_endpoint: Some(format!("http://localhost:{}", address.port())),
        region: "us-east-1".to_owned(),
        access_key: ACCESS_KEY.to_owned(),
        secret_key: SECRET_KEY.into(),
    }
}

pub(crate) async fn nobody_there_is_unavailable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Only found free, the port could be another test's server by now.
    let port = ReservedPort::take().unwrap();
    let blobs = S3Blobs::new(&config(port.address()));
    assert!(blobs.check().await.is_err());
    let put = blobs.put_stream(&suite::key(), suite::content(&Bytes::from_static(b"x"))).await;
    assert_eq!(put.unwrap_err().code(), ErrorCode::Unavailable);
    assert_eq!(blobs.head(&suite::key()).await.unwrap_err().code(), ErrorCode::Unavailable);
}

/// A server with an empty bucket, until dropped.
pub(crate) struct S3Server {
    address: SocketAddr,
    _dir: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl S3Server {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(BUCKET)).unwrap();
        let files = FileSystem::new(dir.path()).unwrap();
        let mut service = S3ServiceBuilder::new(Store { files, uploads: Mutex::default() });
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = auto::Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, _dir: dir, task }
    }

    fn config(&self) -> S3Config {
        config(self.address)
    }

    pub(crate) fn blobs(&self) -> S3Blobs {
        S3Blobs::new(&self.config())
    }

    pub(crate) async fn link_is_served_and_cannot_be_changed(&self) {
        let (blobs, key) = (self.blobs(), suite::key());
        let sent = suite::bytes(100_000);
        blobs.put_stream(&key, suite::content(&sent)).await.unwrap();
        let link = blobs.presign_get(&key, &suite::presign()).await.unwrap().unwrap();
        assert!(link.starts_with(&format!("http://localhost:{}/", self.address.port())), "{link}");
        assert!(link.contains("X-Amz-Expires=60"), "{link}");

        let answer = reqwest::get(&link).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-length"], "100000");
        assert_eq!(answer.bytes().await.unwrap(), sent);

        let other = link.replace(&key.id().to_string(), &suite::key().id().to_string());
        assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
        let longer = link.replace("X-Amz-Expires=60", "X-Amz-Expires=6000");
        assert_eq!(reqwest::get(&longer).await.unwrap().status(), 403);
    }

    pub(crate) async fn stale_uploads_are_removed(&self) {
        let (blobs, key) = (self.blobs(), suite::key());
        self.begin_upload(&key.to_string()).await;
        self.begin_upload("somebody/elses.tar").await;
        let hour = TimeDelta::hours(1);
        assert_eq!(blobs.remove_stale_uploads(Utc::now() - hour).await.unwrap(), 0);
        assert_eq!(blobs.remove_stale_uploads(Utc::now() + hour).await.unwrap(), 1);
        assert_eq!(blobs.remove_stale_uploads(Utc::now() + hour).await.unwrap(), 0);
    }

    /// Begins an upload that nobody will end.
    async fn begin_upload(&self, key: &str) {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(format!("http://{}", self.address))
            .force_path_style(true)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    }

    pub(crate) async fn without_bucket_is_not_ready(&self) {
        let config = S3Config { bucket: "missing".to_owned(), ..self.config() };
        assert!(S3Blobs::new(&config).check().await.is_err());
    }
}

/// s3s-fs, which keeps no list of the uploads under way.
struct Store {
    files: FileSystem,
    /// Key and beginning, by upload id.
    uploads: Mutex<HashMap<String, (String, SystemTime)>>,
}

impl Store {
    fn forget(&self, upload_id: &str) {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(upload_id);
    }
}

macro_rules! hand_on {
    ($($method:ident($input:ident) -> $output:ident),+ $(,)?) => {
        #[async_trait::async_trait]
        impl S3 for Store {
            $(async fn $method(
                &self,
                request: S3Request<dto::$input>,
            ) -> S3Result<S3Response<dto::$output>> {
                self.files.$method(request).await
            })+

            async fn create_multipart_upload(
                &self,
                request: S3Request<dto::CreateMultipartUploadInput>,
            ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
                let key = request.input.key.clone();
                let begun = self.files.create_multipart_upload(request).await?;
                let id = begun.output.upload_id.clone().unwrap_or_default();
                self.uploads.lock().unwrap().insert(id, (key, SystemTime::now()));
                Ok(begun)
            }

            async fn complete_multipart_upload(
                &self,
                request: S3Request<dto::CompleteMultipartUploadInput>,
            ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
                self.forget(&request.input.upload_id);
                self.files.complete_multipart_upload(request).await
            }

            async fn abort_multipart_upload(
                &self,
                request: S3Request<dto::AbortMultipartUploadInput>,
            ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
                self.forget(&request.input.upload_id);
                self.files.abort_multipart_upload(request).await
            }

            async fn list_multipart_uploads(
                &self,
                _: S3Request<dto::ListMultipartUploadsInput>,
            ) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
                let uploads = self.uploads.lock().unwrap();
                let uploads = uploads.iter().map(|(id, (key, begun))| dto::MultipartUpload {
                    key: Some(key.clone()),
                    upload_id: Some(id.clone()),
                    initiated: Some(Timestamp::from(*begun)),
                    ..Default::default()
                });
                Ok(S3Response::new(dto::ListMultipartUploadsOutput {
                    uploads: Some(uploads.collect()),
                    ..Default::default()
                }))
            }
        }
    };
}

hand_on!(
    delete_object(DeleteObjectInput) -> DeleteObjectOutput,
    get_object(GetObjectInput) -> GetObjectOutput,
    head_bucket(HeadBucketInput) -> HeadBucketOutput,
    head_object(HeadObjectInput) -> HeadObjectOutput,
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output,
    put_object(PutObjectInput) -> PutObjectOutput,
    upload_part(UploadPartInput) -> UploadPartOutput,
);
