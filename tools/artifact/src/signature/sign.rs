//! Making signatures with private keys.

use std::fmt;

use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::{
    KeyError,
    der::{
        CONTEXT_0, CONTEXT_1, Der, INTEGER, KeyKind, OCTET_STRING, OID, P256, SEQUENCE,
        integer_bits,
    },
};

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rsa,
    /// ECDSA on P-256 with SHA-256; the signature is `r` and `s`, 32 bytes each.
    EcdsaP256,
    /// Ed25519, which only Rota's own client and tools accept: no Mender client or tool does.
    Ed25519,
}

impl SigningAlgorithm {
    /// Whether Mender's clients and tools accept such signatures.
    pub fn is_portable(self) -> bool {
        self != Self::Ed25519
    }
}

/// A private key that signs Artifacts.
pub struct SigningKey(KeyPairKind);

enum KeyPairKind {
    Rsa(Box<RsaKeyPair>),
    EcdsaP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads the first private key of `pem`: `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1)
    /// or `EC PRIVATE KEY` (SEC1).
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|_| unreadable(pem))?;
            match kind {
                SectionKind::PrivateKey => return Self::from_pkcs8(&der),
                SectionKind::RsaPrivateKey => return Self::from_pkcs1(&der),
                SectionKind::EcPrivateKey => return Self::from_sec1(&der),
                _ => {}
            }
        }
        Err(unreadable(pem))
    }

    /// How this key signs.
    pub fn algorithm(&self) -> SigningAlgorithm {
        match self.0 {
            KeyPairKind::Rsa(_) => SigningAlgorithm::Rsa,
            KeyPairKind::EcdsaP256(_) => SigningAlgorithm::EcdsaP256,
            KeyPairKind::Ed25519(_) => SigningAlgorithm::Ed25519,
        }
    }

    /// The signature over `message`; `None` when the system gives no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.0 {
            KeyPairKind::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            KeyPairKind::EcdsaP256(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            KeyPairKind::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let mut info = Der::new(Der::new(der).take(SEQUENCE)?);
        info.take(INTEGER)?;
        match info.take_algorithm()? {
            KeyKind::Rsa => Self::from_pkcs1(info.take(OCTET_STRING)?),
            KeyKind::P256 => Self::from_sec1(info.take(OCTET_STRING)?),
            KeyKind::Ed25519 => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                .map(|pair| Self(KeyPairKind::Ed25519(pair)))
                .map_err(|_| KeyError::Malformed),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        RsaKeyPair::from_der(der).map(|pair| Self(KeyPairKind::Rsa(Box::new(pair)))).map_err(|_| {
            match private_modulus_bits(der) {
                Ok(bits) if !(2048..=4096).contains(&bits) => KeyError::RsaSize { bits },
                _ => KeyError::Malformed,
            }
        })
    }

    fn from_sec1(der: &[u8]) -> Result<Self, KeyError> {
        let mut key = Der::new(Der::new(der).take(SEQUENCE)?);
        key.take(INTEGER)?;
        let private = key.take(OCTET_STRING)?;
        if let Some(parameters) = key.take_if(CONTEXT_0)?
            && Der::new(parameters).take_if(OID)? != Some(P256)
        {
            return Err(KeyError::Unsupported { found: "elliptic curve other than P-256" });
        }
        let public = key.take_if(CONTEXT_1)?.ok_or(KeyError::NoPublicHalf)?;
        EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            private,
            Der::new(public).take_bits()?,
            &SystemRandom::new(),
        )
        .map(|pair| Self(KeyPairKind::EcdsaP256(pair)))
        .map_err(|_| KeyError::Malformed)
    }
}

/// Number of bits in the modulus of a PKCS#1 private key, which follows its version.
fn private_modulus_bits(der: &[u8]) -> Result<usize, KeyError> {
    let mut key = Der::new(Der::new(der).take(SEQUENCE)?);
    key.take(INTEGER)?;
    integer_bits(key.take(INTEGER)?)
}

fn unreadable(pem: &[u8]) -> KeyError {
    const MARK: &[u8] = b"ENCRYPTED";
    if pem.windows(MARK.len()).any(|window| window == MARK) {
        KeyError::Encrypted
    } else {
        KeyError::NotFound { expected: "private key (PKCS#8, PKCS#1 or SEC1)" }
    }
}

impl fmt::Debug for SigningKey {
    /// Never prints the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.algorithm())
    }
}
