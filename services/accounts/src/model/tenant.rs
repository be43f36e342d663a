//! Tenants, and the tokens by which devices name them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::{
    digest::{SHA256, digest},
    error::Unspecified,
    rand::SystemRandom,
    signature::Ed25519KeyPair,
};
use rota_types::TenantId;
use serde_json::json;

/// The longest name, in characters (server API, common names).
const MAX_NAME: usize = 256;

/// One customer of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    pub(crate) name: String,
    pub(crate) token: TenantToken,
    /// Nobody signs in, and no device gets a token or is heard with one.
    pub(crate) suspended: bool,
    pub(crate) created: DateTime<Utc>,
}

/// A name that a tenant may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantName(String);

/// Why a text is no tenant's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's name must have 1 to {MAX_NAME} printable characters")]
pub(crate) struct InvalidName;

impl TenantName {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidName> {
        let text = text.trim();
        let length = text.chars().count();
        if length == 0 || length > MAX_NAME || text.chars().any(char::is_control) {
            return Err(InvalidName);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What devices send to say whose they are. In form a signed JSON Web Token, so that programs
/// that look into it find the tenant; in truth it is known by heart, and its signature is what
/// nobody can guess. The key that makes it is therefore thrown away, and no rotation of keys
/// ever invalidates what is written on devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TenantToken(String);

impl TenantToken {
    /// A new token.
    pub(crate) fn mint(tenant: TenantId, now: DateTime<Utc>) -> Result<Self, Unspecified> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| Unspecified)?;
        let header = json!({ "alg": "EdDSA", "typ": "JWT" });
        let claims = json!({
            "iss": "rota",
            "sub": tenant,
            "mender.tenant": tenant,
            "iat": now.timestamp(),
        });
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
        Ok(Self(format!("{message}.{signature}")))
    }

    /// A token as it stands in storage or comes from a device.
    pub(crate) fn from_text(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is found by: SHA-256 of the text.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_the_tenant_and_is_never_the_same() {
        let tenant = TenantId::mint();
        let token = TenantToken::mint(tenant, DateTime::UNIX_EPOCH).unwrap();
        let parts: Vec<_> = token.as_str().split('.').collect();
        assert_eq!(parts.len(), 3);
        let claims = URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["mender.tenant"], tenant.to_string());
        let other = TenantToken::mint(tenant, DateTime::UNIX_EPOCH).unwrap();
        assert_ne!(token.hash(), other.hash());
    }

    #[test]
    fn names_are_printable() {
        assert_eq!(TenantName::parse(" Acme ").unwrap().as_str(), "Acme");
        for name in ["", "  ", "a\nb", &"x".repeat(257)] {
            assert_eq!(TenantName::parse(name), Err(InvalidName), "{name:?}");
        }
    }
}
