//! Signatures over the manifest: which keys there are, and how a signature is encoded.

mod der;
#[cfg(feature = "write")]
mod sign;
mod verify;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::Error;

#[cfg(feature = "write")]
pub use sign::{SigningAlgorithm, SigningKey};
pub use verify::VerifyKeys;

/// What is known about an Artifact's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// There is none.
    Unsigned,
    /// There is one, and no keys were given to check it.
    Unverified,
    /// There is one, and a key fits it.
    Verified,
}

impl Signature {
    /// Whether there is a signature at all.
    pub fn is_signed(self) -> bool {
        self != Self::Unsigned
    }
}

/// Why a file is not a usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not PEM, or has no block of the right kind.
    #[error("no {expected} in PEM form found")]
    NotFound { expected: &'static str },
    /// The private key is protected by a passphrase.
    #[error("the key is encrypted; remove its passphrase first")]
    Encrypted,
    /// The key is of a kind that the format does not know.
    #[error("{found} keys are not supported; use RSA, ECDSA P-256 or Ed25519")]
    Unsupported { found: &'static str },
    /// An RSA key outside 2048 to 8192 bits (to sign: 4096).
    #[error("an RSA key of {bits} bits is not supported; use 2048 to 4096")]
    RsaSize { bits: usize },
    /// An elliptic curve key without its public half.
    #[error("the key lacks its public half; `openssl ec -in KEY -out NEW` adds it")]
    NoPublicHalf,
    /// The key is damaged.
    #[error("the key is malformed")]
    Malformed,
}

/// The bytes of a signature from the text in `manifest.sig`; line breaks are allowed.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let joined: Vec<u8> =
        text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    STANDARD.decode(joined).map_err(|_| Error::SignatureEncoding)
}

/// The text of `manifest.sig`: one line, without a line break, as all readers want it.
#[cfg(feature = "write")]
pub(crate) fn encode(signature: &[u8]) -> String {
    STANDARD.encode(signature)
}
