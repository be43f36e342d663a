//! Which store to use, as settings.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use secrecy::SecretString;

use crate::{BlobError, Blobs, DirectoryBlobs, S3Blobs, S3Config};

/// Where large bytes are kept: in S3 where a bucket is given, otherwise in a directory.
#[derive(Debug, Clone, Args)]
pub struct BlobSettings {
    /// Directory for Artifacts and logs.
    #[arg(long, env = "ROTA_BLOB_DIR", value_name = "DIRECTORY")]
    pub blob_dir: Option<PathBuf>,
    /// S3 bucket for Artifacts and logs, instead of a directory.
    #[arg(long, env = "ROTA_S3_BUCKET", value_name = "NAME",
          requires_all = ["s3_access_key", "s3_secret_key"])]
    pub s3_bucket: Option<String>,
    /// URL of the S3 service; Amazon's own for the region when absent.
    #[arg(long, env = "ROTA_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// URL under which devices reach the S3 service; they download through the gateway without.
    #[arg(long, env = "ROTA_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    pub s3_public_endpoint: Option<String>,
    /// Region of the S3 service.
    #[arg(long, env = "ROTA_S3_REGION", value_name = "NAME", default_value = "us-east-1")]
    pub s3_region: String,
    /// Id of the access key for S3.
    #[arg(long, env = "ROTA_S3_ACCESS_KEY", value_name = "ID")]
    pub s3_access_key: Option<String>,
    /// Secret of the access key for S3; better given by the environment.
    #[arg(long, env = "ROTA_S3_SECRET_KEY", value_name = "SECRET", hide_env_values = true)]
    pub s3_secret_key: Option<SecretString>,
}

impl BlobSettings {
    /// Opens the store; `None` where the settings name neither bucket nor directory.
    pub fn open(&self) -> Result<Option<Arc<dyn Blobs>>, BlobError> {
        if let Some(config) = self.s3() {
            return Ok(Some(Arc::new(S3Blobs::new(&config))));
        }
        let Some(directory) = &self.blob_dir else { return Ok(None) };
        Ok(Some(Arc::new(DirectoryBlobs::open(directory)?)))
    }

    fn s3(&self) -> Option<S3Config> {
        Some(S3Config {
            bucket: self.s3_bucket.clone()?,
            endpoint: self.s3_endpoint.clone(),
            public_endpoint: self.s3_public_endpoint.clone(),
            region: self.s3_region.clone(),
            access_key: self.s3_access_key.clone()?,
            secret_key: self.s3_secret_key.clone()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        blobs: BlobSettings,
    }

    #[test]
    fn a_bucket_goes_with_its_key_and_the_secret_is_not_printed() {
        assert!(Program::try_parse_from(["x", "--s3-bucket", "b"]).is_err());
        let arguments =
            ["x", "--s3-bucket", "b", "--s3-access-key", "id", "--s3-secret-key", "hush"];
        let program = Program::try_parse_from(arguments).ok().unwrap();
        assert_eq!(program.blobs.s3().unwrap().bucket, "b");
        assert!(!format!("{:?}", program.blobs).contains("hush"));
        assert!(Program::try_parse_from(["x"]).ok().unwrap().blobs.open().unwrap().is_none());
    }
}
