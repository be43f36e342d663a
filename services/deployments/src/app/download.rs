//! Serving signed links: whoever holds one may have the bytes, or a part of them.

use bytes::Bytes;
use futures::stream::BoxStream;
use rota_auth::LinkError;
use rota_blob::{BlobError, BlobKey, BlobKind, ByteRange};
use rota_types::ArtifactId;

use super::{
    Result,
    link::{PATH, file_name},
};
use crate::{
    Deployments,
    error::Error,
    model::{
        artifact::Artifact,
        entity_tag,
        range::{self, Served},
    },
};

/// What somebody with a link asks for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// As the client asked for it, undecoded.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) head_only: bool,
}

/// What is served.
pub(crate) struct Download {
    /// Of the whole file, in bytes.
    pub(crate) total_bytes: u64,
    pub(crate) etag: String,
    pub(crate) file_name: String,
    pub(crate) served: Served,
    /// `None` where only the head was wanted, or nothing is served.
    pub(crate) body: Option<BoxStream<'static, Result<Bytes, BlobError>>>,
}

impl Asked {
    /// What is served of a file of `size` bytes. Whether the client has it already is asked
    /// before a range is looked at (RFC 9110, section 13.2.2).
    fn served(&self, size: u64, etag: &str) -> Served {
        match &self.if_none_match {
            Some(known) if entity_tag::is_among(etag, known) => Served::NotModified,
            _ => range::served(self.range.as_deref(), self.if_range.as_deref(), size, etag),
        }
    }
}

impl Deployments {
    /// Serves a link.
    pub(crate) async fn download(&self, asked: &Asked) -> Result<Download> {
        let artifact = self.linked(asked).await?;
        let (tenant, artifact) = artifact;
        // Another upload of the same Artifact has another blob, and so another tag.
        let etag = format!("\"{}\"", artifact.blob.simple());
        let total_bytes = artifact.size_bytes;
        let served = asked.served(total_bytes, &etag);
        let part = match served {
            _ if asked.head_only => None,
            Served::Whole => Some(ByteRange::ALL),
            Served::Part { first, length } => Some(ByteRange::from(first..first + length)),
            Served::Unsatisfiable | Served::NotModified => None,
        };
        let body = match part {
            Some(part) => {
                let key = BlobKey::new(tenant, BlobKind::Artifact, artifact.blob);
                // Gone between the look at its row and now: deleted just now.
                let blob = self.blobs().get(&key, part).await?.ok_or(Error::NotFound)?;
                Some(blob.body)
            }
            None => None,
        };
        let file_name = file_name(&artifact.name);
        Ok(Download { total_bytes, etag, file_name, served, body })
    }

    /// The Artifact that a genuine link leads to.
    async fn linked(&self, asked: &Asked) -> Result<(rota_types::TenantId, Artifact)> {
        let link =
            self.links().verify("GET", &asked.path, &asked.query, self.now()).map_err(|error| {
                match error {
                    LinkError::Malformed => Error::LinkIncomplete,
                    LinkError::BadSignature => Error::LinkForged,
                    LinkError::Expired => Error::LinkExpired,
                }
            })?;
        let id = asked.path.strip_prefix(PATH).ok_or(Error::NotFound)?;
        let id: ArtifactId = id.parse()?;
        Ok((link.tenant, self.artifact(link.tenant, id).await?))
    }
}
