//! Checking signatures against public keys.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::{
    KeyError,
    der::{Der, KeyKind, SEQUENCE, rsa_modulus_bits},
};

/// Length of an ECDSA P-256 signature in mender-artifact's form: `r` and `s`, 32 bytes each.
const P256_RAW_BYTES: usize = 64;

/// Public keys, any of which may have signed an Artifact.
#[derive(Debug, Clone, Default)]
pub struct VerifyKeys(Vec<PublicKey>);

#[derive(Debug, Clone)]
struct PublicKey {
    kind: KeyKind,
    /// What ring takes: PKCS#1 for RSA, the uncompressed point for P-256, 32 bytes for Ed25519.
    bytes: Vec<u8>,
}

impl VerifyKeys {
    /// No keys yet; nothing verifies.
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys in `pem`.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let mut keys = Self::new();
        keys.add_pem(pem)?;
        Ok(keys)
    }

    /// Adds every `PUBLIC KEY` block of `pem`; there must be one at least.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), KeyError> {
        let before = self.0.len();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|_| KeyError::Malformed)?;
            if kind == SectionKind::PublicKey {
                self.0.push(PublicKey::from_spki(&der)?);
            }
        }
        if self.0.len() == before {
            return Err(KeyError::NotFound { expected: "public key (BEGIN PUBLIC KEY)" });
        }
        Ok(())
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any key made `signature` over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| key.verify(message, signature))
    }
}

impl PublicKey {
    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let mut spki = Der::new(Der::new(der).take(SEQUENCE)?);
        let kind = spki.take_algorithm()?;
        let bytes = spki.take_bits()?.to_vec();
        match kind {
            KeyKind::Rsa => match rsa_modulus_bits(&bytes)? {
                2048..=8192 => {}
                bits => return Err(KeyError::RsaSize { bits }),
            },
            KeyKind::P256 if bytes.len() == 65 && bytes[0] == 4 => {}
            KeyKind::Ed25519 if bytes.len() == 32 => {}
            KeyKind::P256 | KeyKind::Ed25519 => return Err(KeyError::Malformed),
        }
        Ok(Self { kind, bytes })
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let fits = |algorithm: &'static dyn VerificationAlgorithm, signature: &[u8]| {
            UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
        };
        match self.kind {
            KeyKind::Rsa => fits(&RSA_PKCS1_2048_8192_SHA256, signature),
            KeyKind::Ed25519 => fits(&ED25519, signature),
            // Three encodings are about: raw big-endian (mender-artifact), raw with each half
            // little-endian (tools of old, still accepted by Mender's client), and DER of any
            // length (hardware modules).
            KeyKind::P256 => {
                signature.len() == P256_RAW_BYTES
                    && (fits(&ECDSA_P256_SHA256_FIXED, signature)
                        || fits(&ECDSA_P256_SHA256_FIXED, &reverse_halves(signature)))
                    || fits(&ECDSA_P256_SHA256_ASN1, signature)
            }
        }
    }
}

fn reverse_halves(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len() / 2);
    r.iter().rev().chain(s.iter().rev()).copied().collect()
}
