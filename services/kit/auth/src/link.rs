//! Links that carry their own permission: signed, for one method and path, and only for a
//! while.

use std::{fmt, path::Path};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use rota_types::TenantId;
use secrecy::{ExposeSecret, SecretString};

use crate::key_file::{self, KeyFileError};

/// Bytes of a key: as many as the hash has.
const KEY_BYTES: usize = 32;

/// A link that permits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A parameter is missing, doubled or not of its form.
    #[error("the link is incomplete")]
    Malformed,
    /// Another path, method, tenant or time than was signed, or a foreign key.
    #[error("the link's signature does not hold")]
    BadSignature,
    /// It was genuine and has ended.
    #[error("the link has expired")]
    Expired,
}

/// What a genuine link permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The tenant whose thing it leads to.
    pub tenant: TenantId,
    /// When it ends.
    pub expires: DateTime<Utc>,
}

/// Signs links and checks them.
#[derive(Clone)]
pub struct LinkSigner {
    keys: Vec<hmac::Key>,
}

impl fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkSigner({} keys)", self.keys.len())
    }
}

impl LinkSigner {
    /// Reads keys, one a line, each 32 bytes in base64url. The first one signs; links signed
    /// with the others hold until they expire.
    pub fn from_lines(text: &SecretString) -> Option<Self> {
        let keys = text
            .expose_secret()
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let key = URL_SAFE_NO_PAD.decode(line).ok()?;
                (key.len() == KEY_BYTES).then(|| hmac::Key::new(hmac::HMAC_SHA256, &key))
            })
            .collect::<Option<Vec<_>>>()?;
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// A new key, as a line. `None` where the operating system gives no randomness.
    pub fn generate_line() -> Option<SecretString> {
        let mut key = [0; KEY_BYTES];
        SystemRandom::new().fill(&mut key).ok()?;
        Some(SecretString::from(URL_SAFE_NO_PAD.encode(key) + "\n"))
    }

    /// Reads the keys in `path`, which is made with one new key where it does not exist.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let content =
            || KeyFileError::Content { path: path.to_owned(), wanted: "keys in base64url" };
        let fresh = Self::generate_line().ok_or_else(content)?;
        let text = key_file::load_or_create(path, || fresh.expose_secret().to_owned())?;
        Self::from_lines(&SecretString::from(text)).ok_or_else(content)
    }

    /// The query (without `?`) that makes `path` a link for `method`, which holds before
    /// `expires` (whole seconds). A link for GET is one for HEAD, too.
    pub fn sign(
        &self,
        method: &str,
        path: &str,
        tenant: TenantId,
        expires: DateTime<Utc>,
    ) -> String {
        let expires = expires.timestamp();
        let message = message(method, path, &tenant.to_string(), &expires.to_string());
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.keys[0], &message));
        format!("tenant={tenant}&expires={expires}&signature={signature}")
    }

    /// Checks the query of a request for `method` and `path` (as they were signed: before any
    /// decoding). Parameters of other names are ignored.
    pub fn verify(
        &self,
        method: &str,
        path: &str,
        query: &str,
        now: DateTime<Utc>,
    ) -> Result<Link, LinkError> {
        let tenant = parameter(query, "tenant")?;
        let expires = parameter(query, "expires")?;
        let signature = URL_SAFE_NO_PAD
            .decode(parameter(query, "signature")?)
            .map_err(|_| LinkError::Malformed)?;
        let message = message(method, path, tenant, expires);
        if !self.keys.iter().any(|key| hmac::verify(key, &message, &signature).is_ok()) {
            return Err(LinkError::BadSignature);
        }
        // Genuine from here on: what cannot be read would be a fault of ours.
        let tenant = tenant.parse().map_err(|_| LinkError::Malformed)?;
        let expires = expires.parse().ok().and_then(|at| DateTime::from_timestamp(at, 0));
        let expires = expires.ok_or(LinkError::Malformed)?;
        if now < expires { Ok(Link { tenant, expires }) } else { Err(LinkError::Expired) }
    }
}

/// The one value of a parameter.
fn parameter<'a>(query: &'a str, name: &str) -> Result<&'a str, LinkError> {
    let mut values = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(LinkError::Malformed),
    }
}

/// What is signed. Each part comes after its length, so that no two links share a text.
fn message(method: &str, path: &str, tenant: &str, expires: &str) -> Vec<u8> {
    let method = if method == "HEAD" { "GET" } else { method };
    let mut message = b"rota link 1".to_vec();
    for part in [method, path, tenant, expires] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const PATH: &str = "/api/devices/v1/deployments/download/1";

    fn signer() -> LinkSigner {
        LinkSigner::from_lines(&LinkSigner::generate_line().unwrap()).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_link_holds_for_what_was_signed_until_it_ends() {
        let (signer, tenant) = (signer(), TenantId::mint());
        let expires = now() + TimeDelta::hours(1);
        let query = signer.sign("GET", PATH, tenant, expires);
        let link = Link { tenant, expires };
        assert_eq!(signer.verify("GET", PATH, &query, now()), Ok(link));
        assert_eq!(signer.verify("HEAD", PATH, &query, now()), Ok(link));
        assert_eq!(signer.verify("GET", PATH, &format!("{query}&x=1"), now()), Ok(link));
        assert_eq!(signer.verify("GET", PATH, &query, expires), Err(LinkError::Expired));
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let (signer, tenant) = (signer(), TenantId::mint());
        let expires = now() + TimeDelta::hours(1);
        let query = signer.sign("GET", PATH, tenant, expires);
        let refused = |method, path, query: &str| signer.verify(method, path, query, now());
        assert_eq!(refused("PUT", PATH, &query), Err(LinkError::BadSignature));
        assert_eq!(refused("GET", "/other", &query), Err(LinkError::BadSignature));
        let other = query.replace(&tenant.to_string(), &TenantId::mint().to_string());
        assert_eq!(refused("GET", PATH, &other), Err(LinkError::BadSignature));
        let later = (expires + TimeDelta::hours(1)).timestamp().to_string();
        let longer = query.replace(&expires.timestamp().to_string(), &later);
        assert_eq!(refused("GET", PATH, &longer), Err(LinkError::BadSignature));
        assert_eq!(self::signer().verify("GET", PATH, &query, now()), Err(LinkError::BadSignature));
    }

    #[test]
    fn missing_and_doubled_parameters_are_malformed() {
        let signer = signer();
        let query = signer.sign("GET", PATH, TenantId::mint(), now());
        let refused = |query: &str| signer.verify("GET", PATH, query, now());
        assert_eq!(refused(""), Err(LinkError::Malformed));
        assert_eq!(refused("tenant=1&expires=2"), Err(LinkError::Malformed));
        assert_eq!(refused("tenant=1&expires=2&signature=!"), Err(LinkError::Malformed));
        assert_eq!(refused(&format!("{query}&tenant=1")), Err(LinkError::Malformed));
    }

    #[test]
    fn a_rotated_key_still_verifies() {
        let (old, new) =
            (LinkSigner::generate_line().unwrap(), LinkSigner::generate_line().unwrap());
        let both = format!("{}{}", new.expose_secret(), old.expose_secret());
        let both = LinkSigner::from_lines(&SecretString::from(both)).unwrap();
        let (old, new) =
            (LinkSigner::from_lines(&old).unwrap(), LinkSigner::from_lines(&new).unwrap());
        let tenant = TenantId::mint();
        let expires = now() + TimeDelta::hours(1);
        let before = old.sign("GET", PATH, tenant, expires);
        assert!(both.verify("GET", PATH, &before, now()).is_ok());
        let after = both.sign("GET", PATH, tenant, expires);
        assert!(new.verify("GET", PATH, &after, now()).is_ok());
        assert!(old.verify("GET", PATH, &after, now()).is_err());
    }

    #[test]
    fn keys_are_kept_in_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("links.keys");
        let made = LinkSigner::load_or_create(&path).unwrap();
        let query = made.sign("GET", PATH, TenantId::mint(), now() + TimeDelta::hours(1));
        let read = LinkSigner::load_or_create(&path).unwrap();
        assert!(read.verify("GET", PATH, &query, now()).is_ok());
        std::fs::write(&path, "short\n").unwrap();
        assert!(LinkSigner::load_or_create(&path).is_err());
    }
}
