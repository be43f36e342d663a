//! Verifying tokens, as often as a fleet polls.
//!
//! A device shows the same token until it expires, so that the costly part, the signature, is
//! checked once: the claims of tokens that held are kept, by the token's exact bytes, and the
//! times they name are checked each time. Forging a token that is found there means to know a
//! valid one.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, decode_header};
use serde::{Deserialize, de::DeserializeOwned};

use super::{DeviceClaims, KeySet, UserClaims};

/// The longest token that is looked at, in bytes. Ours have about 700.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// The cache's parts; readers of different tokens seldom meet.
const SHARDS: usize = 64;

/// Tokens that one half of a shard holds. A shard has two halves: when the younger is full,
/// the older is dropped, so that what is used stays. Altogether up to 131,072 tokens.
const HALF: usize = 1024;

/// A token that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of ours in form: too long, not three parts, another algorithm, claims missing.
    #[error("the token is malformed")]
    Malformed,
    /// It was genuine and has ended.
    #[error("the token has expired")]
    Expired,
    /// It holds only from a later time on.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The signature is not that of the key it names.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// A person's token where a device's is wanted, or the other way round.
    #[error("the token is of another kind")]
    WrongKind,
    /// The key it names is not in the set: foreign, or newer than the set.
    #[error("the token names an unknown key")]
    UnknownKey,
}

/// Verifies one kind of token, by the keys of its issuer.
pub struct TokenVerifier<C> {
    keys: RwLock<Option<KeySet>>,
    shards: Vec<RwLock<Shard<C>>>,
    hasher: RandomState,
}

struct Shard<C> {
    young: HashMap<Box<str>, Arc<C>>,
    old: HashMap<Box<str>, Arc<C>>,
}

/// Claims that a [`TokenVerifier`] understands.
pub trait Claims: DeserializeOwned + Send + Sync + private::Sealed {}

mod private {
    use super::TokenError;

    /// What the verifier asks of claims once the signature holds.
    pub trait Sealed {
        /// Whether issuer and mark are those of this kind.
        fn is_of_kind(&self) -> bool;
        /// Whether the claims hold at `now`, in seconds since 1970.
        fn hold_at(&self, now: i64) -> Result<(), TokenError>;
    }
}

impl Claims for DeviceClaims {}
impl Claims for UserClaims {}

impl private::Sealed for DeviceClaims {
    fn is_of_kind(&self) -> bool {
        self.is_device && self.iss == Self::ISSUER
    }

    fn hold_at(&self, now: i64) -> Result<(), TokenError> {
        if now < self.exp { Ok(()) } else { Err(TokenError::Expired) }
    }
}

impl private::Sealed for UserClaims {
    fn is_of_kind(&self) -> bool {
        self.is_user && self.iss == Self::ISSUER
    }

    fn hold_at(&self, now: i64) -> Result<(), TokenError> {
        if self.exp.is_some_and(|exp| now >= exp) {
            return Err(TokenError::Expired);
        }
        // Clocks of servers differ a little.
        if now + 60 < self.nbf { Err(TokenError::NotYetValid) } else { Ok(()) }
    }
}

impl<C: Claims> Default for TokenVerifier<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Claims> TokenVerifier<C> {
    /// A verifier that has no keys yet.
    pub fn new() -> Self {
        let shard = || RwLock::new(Shard { young: HashMap::new(), old: HashMap::new() });
        Self {
            keys: RwLock::new(None),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// A verifier with `keys`.
    pub fn with_keys(keys: KeySet) -> Self {
        let verifier = Self::new();
        verifier.set_keys(keys);
        verifier
    }

    /// Whether keys have been given. Without, every token names an unknown key, which then
    /// says nothing about the token.
    pub fn has_keys(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Replaces the keys. What the old ones had verified is verified anew.
    pub fn set_keys(&self, keys: KeySet) {
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref() == Some(&keys) {
            return;
        }
        *current = Some(keys);
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.young.clear();
            shard.old.clear();
        }
    }

    /// Verifies a token and gives what it says. That it has not been revoked is for a
    /// [`crate::RevocationSet`] to say.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<C>, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        // Held throughout, so that a token which keys replaced meanwhile would refuse is not
        // put back into the cache.
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let claims = match self.known(token) {
            Some(claims) => claims,
            None => self.check(token, keys.as_ref())?,
        };
        claims.hold_at(now.timestamp())?;
        Ok(claims)
    }

    fn shard(&self, token: &str) -> &RwLock<Shard<C>> {
        // The modulus keeps the index below SHARDS, whatever the cast cuts off.
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let at = self.hasher.hash_one(token) as usize % SHARDS;
        &self.shards[at]
    }

    fn known(&self, token: &str) -> Option<Arc<C>> {
        let shard = self.shard(token).read().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = shard.young.get(token) {
            return Some(Arc::clone(claims));
        }
        let claims = shard.old.get(token).cloned()?;
        drop(shard);
        self.remember(token, &claims);
        Some(claims)
    }

    fn remember(&self, token: &str, claims: &Arc<C>) {
        let mut shard = self.shard(token).write().unwrap_or_else(PoisonError::into_inner);
        if shard.young.len() >= HALF {
            shard.old = std::mem::take(&mut shard.young);
        }
        shard.young.insert(token.into(), Arc::clone(claims));
    }

    /// Verifies a token that has not been seen before.
    fn check(&self, token: &str, keys: Option<&KeySet>) -> Result<Arc<C>, TokenError> {
        let claims = Arc::new(decode::<C>(token, keys)?);
        self.remember(token, &claims);
        Ok(claims)
    }
}

fn decode<C: Claims>(token: &str, keys: Option<&KeySet>) -> Result<C, TokenError> {
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let (_, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.alg != Algorithm::EdDSA || header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let id = header.kid.ok_or(TokenError::UnknownKey)?;
    let key = keys.and_then(|keys| keys.get(&id)).ok_or(TokenError::UnknownKey)?;
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, Algorithm::EdDSA) {
        Ok(true) => {}
        Ok(false) => return Err(TokenError::BadSignature),
        Err(_) => return Err(TokenError::Malformed),
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed)?;
    match serde_json::from_slice::<C>(&payload) {
        Ok(claims) if claims.is_of_kind() => Ok(claims),
        Ok(_) => Err(TokenError::WrongKind),
        Err(_) => Err(kind_error(&payload)),
    }
}

/// Why genuine claims are not those that are wanted.
fn kind_error(payload: &[u8]) -> TokenError {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(default, rename = "mender.device")]
        device: bool,
        #[serde(default, rename = "mender.user")]
        user: bool,
    }
    match serde_json::from_slice(payload) {
        Ok(Kind { device, user }) if device || user => TokenError::WrongKind,
        _ => TokenError::Malformed,
    }
}

#[cfg(test)]
mod tests;
