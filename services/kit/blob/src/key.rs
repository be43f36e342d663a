//! Names of blobs: the tenant first, then what it is, then which.

use std::{fmt, str::FromStr};

use rota_types::TenantId;
use uuid::Uuid;

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// An Artifact, as it was uploaded.
    Artifact,
    /// A device's deployment log.
    Log,
    /// A recorded terminal session.
    Recording,
}

impl BlobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Artifact, Self::Log, Self::Recording];

    const fn name(self) -> &'static str {
        match self {
            Self::Artifact => "artifacts",
            Self::Log => "logs",
            Self::Recording => "recordings",
        }
    }
}

/// The name of a blob: `<tenant>/<kind>/<id>`. It can name nothing outside of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey {
    tenant: TenantId,
    kind: BlobKind,
    id: Uuid,
}

impl BlobKey {
    /// Names a blob of a tenant.
    pub fn new(tenant: TenantId, kind: BlobKind, id: impl Into<Uuid>) -> Self {
        Self { tenant, kind, id: id.into() }
    }

    /// Whose it is.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What it is.
    pub const fn kind(&self) -> BlobKind {
        self.kind
    }

    /// Which it is.
    pub const fn id(&self) -> Uuid {
        self.id
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind.name(), self.id)
    }
}

/// A text that is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a blob key: expected <tenant>/<kind>/<id>")]
pub struct ParseBlobKeyError;

impl FromStr for BlobKey {
    type Err = ParseBlobKeyError;

    /// Reads what `Display` writes, and nothing that only means the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(tenant), Some(kind), Some(id), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseBlobKeyError);
        };
        let key = Self {
            tenant: tenant.parse().map_err(|_| ParseBlobKeyError)?,
            kind: BlobKind::ALL
                .into_iter()
                .find(|known| known.name() == kind)
                .ok_or(ParseBlobKeyError)?,
            id: id.parse().map_err(|_| ParseBlobKeyError)?,
        };
        if key.to_string() == text { Ok(key) } else { Err(ParseBlobKeyError) }
    }
}

/// A part of the store: everything, or one tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobPrefix {
    /// Every tenant's blobs.
    All,
    /// One tenant's blobs.
    Tenant(TenantId),
    /// One tenant's blobs of one kind.
    Kind(TenantId, BlobKind),
}

impl fmt::Display for BlobPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Tenant(tenant) => write!(f, "{tenant}/"),
            Self::Kind(tenant, kind) => write!(f, "{tenant}/{}/", kind.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text() {
        for kind in BlobKind::ALL {
            let key = BlobKey::new(TenantId::mint(), kind, Uuid::now_v7());
            assert_eq!(key.to_string().parse(), Ok(key));
            assert!(key.to_string().starts_with(&BlobPrefix::Kind(key.tenant(), kind).to_string()));
        }
    }

    #[test]
    fn nothing_else_is_a_key() {
        let (tenant, id) = (TenantId::mint(), Uuid::now_v7());
        for text in [
            String::new(),
            "../../etc/passwd".to_owned(),
            format!("{tenant}/artifacts/../{id}"),
            format!("{tenant}/artifacts/{id}/"),
            format!("/{tenant}/artifacts/{id}"),
            format!("{tenant}/secrets/{id}"),
            format!("{tenant}/artifacts/{}", id.simple()),
            format!("{tenant}/artifacts/{}", id.to_string().to_uppercase()),
        ] {
            assert_eq!(text.parse::<BlobKey>(), Err(ParseBlobKeyError), "{text}");
        }
    }
}
