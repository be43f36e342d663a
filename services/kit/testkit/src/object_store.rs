//! An S3 server for one test.

use rota_stack::{S3, S3Options};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::cluster::chain;

/// An S3 server over HTTP with one bucket, that checks signatures. Its objects are removed
/// with the value.
#[derive(Debug)]
pub struct TestS3 {
    server: S3,
    dir: TempDir,
}

impl TestS3 {
    /// Starts a server on a free port.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("the system's temporary directory can be written");
        let server = S3::start(S3Options::new(dir.path()))
            .await
            .unwrap_or_else(|error| panic!("no S3 server for tests: {}", chain(&error)));
        Self { server, dir }
    }

    /// `http://127.0.0.1:port`; the bucket is in the path.
    pub fn endpoint(&self) -> &str {
        self.server.endpoint()
    }

    /// The bucket.
    pub fn bucket(&self) -> &'static str {
        "rota"
    }

    /// The access key's name.
    pub fn access_key(&self) -> &str {
        &self.server.options().access_key
    }

    /// The access key's secret.
    pub fn secret_key(&self) -> &SecretString {
        &self.server.options().secret_key
    }

    /// Where the server keeps the bucket's objects, as files under their keys: to see what
    /// was left behind.
    pub fn bucket_dir(&self) -> std::path::PathBuf {
        self.dir.path().join(self.bucket())
    }
}
