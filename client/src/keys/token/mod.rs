//! Keys in PKCS#11 tokens: TPMs, security chips and other places that sign and never show a key.
//!
//! The token makes bare signatures; hashes, paddings and forms of signature are made here, so that
//! the plainest of tokens will do.

mod modules;
mod tls;
mod uri;
mod worker;

use std::sync::Arc;

use cryptoki::mechanism::{
    Mechanism, MechanismType,
    eddsa::{EddsaParams, EddsaSignatureScheme},
    rsa::{PkcsMgfType, PkcsPssParams},
};
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

pub(super) use tls::TlsKey;

use super::{KeyError, TokenUri};
use crate::der::{self, Spki};
use uri::Address;

/// Why a key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the address cannot be used: {0}")]
    Address(String),
    #[error("cannot read the PIN from {path}")]
    PinSource { path: String, source: std::io::Error },
    #[error(
        "cannot load the PKCS#11 module {path}; name it in the address (module-path=…) or in \
         PKCS11_MODULE_PATH"
    )]
    Load { path: String, source: cryptoki::error::Error },
    #[error("there is no such token; is it plugged in and initialised?")]
    NoToken,
    #[error("the token has no such private key")]
    NoKey,
    #[error("the token shows no such private key; add its PIN (pin-value=… or pin-source=…)")]
    NoKeyWithoutPin,
    #[error("the token has several such private keys; add id=… to the address")]
    SeveralKeys,
    #[error("the token has no public key beside the private one, with the same id")]
    NoPublicHalf,
    #[error(
        "the key is of an unsupported kind; use RSA with at least 2048 bits, ECDSA P-256 or \
         P-384, or Ed25519"
    )]
    Unsupported,
    #[error("the token does not take the PIN")]
    PinRefused(#[source] cryptoki::error::Error),
    #[error(
        "the token did not take this PIN before, and is not asked again before the client starts \
         anew: it would lock itself"
    )]
    PinRefusedBefore,
    #[error(
        "the token would take one more wrong PIN at most; enter the right one with its own tool"
    )]
    PinLocked,
    #[error("the token fails")]
    Module(#[from] cryptoki::error::Error),
    #[error("the token does not answer")]
    Silent,
    #[error("the PKCS#11 module crashed")]
    Crashed,
    #[error("the token made no sense of a signature")]
    Malformed,
    #[error("cannot start a thread for tokens")]
    NoThread(#[source] std::io::Error),
}

/// The public half of a key, and what its token can do.
#[derive(Clone)]
struct Public {
    kind: Spki,
    /// As in a `SubjectPublicKeyInfo`.
    key: Vec<u8>,
    can_pss: bool,
}

/// A private key in a token.
#[derive(Clone)]
pub(super) struct TokenKey {
    uri: TokenUri,
    address: Arc<Address>,
    public: Arc<Public>,
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    /// With a signature in DER.
    Ecdsa(Hash),
    Ed25519,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl TokenKey {
    /// Looks the key up.
    pub(super) fn load(uri: &TokenUri) -> Result<Self, KeyError> {
        let load = || {
            let address = Arc::new(Address::parse(uri.rest())?);
            let public = worker::ask({
                let address = address.clone();
                move |modules| modules.inspect(&address)
            })?;
            Ok((address, Arc::new(public)))
        };
        let (address, public) = load().map_err(|source| failed(uri, source))?;
        Ok(Self { uri: uri.clone(), address, public })
    }

    /// The key's `SubjectPublicKeyInfo`.
    pub(super) fn spki(&self) -> Vec<u8> {
        self.public.kind.encode(&self.public.key)
    }

    /// Signs as Mender's protocol has it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let scheme = match self.public.kind {
            Spki::Rsa => Scheme::RsaPkcs1(Hash::Sha256),
            Spki::P256 | Spki::P384 => Scheme::Ecdsa(Hash::Sha256),
            Spki::Ed25519 => Scheme::Ed25519,
        };
        self.sign_with(scheme, message).map_err(|source| failed(&self.uri, source))
    }

    fn sign_with(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let address = self.address.clone();
        let input = scheme.input(message);
        let signature =
            worker::ask(move |modules| modules.sign(&address, &scheme.mechanism(), &input))?;
        match scheme {
            Scheme::Ecdsa(_) => der::ecdsa_signature(&signature).ok_or(TokenError::Malformed),
            _ => Ok(signature),
        }
    }
}

fn failed(uri: &TokenUri, source: TokenError) -> KeyError {
    KeyError::Token { uri: uri.clone(), source: Box::new(source) }
}

impl Scheme {
    /// What the token signs.
    fn input(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::RsaPkcs1(hash) => [hash.digest_info(), &*hash.of(message)].concat(),
            Self::RsaPss(hash) | Self::Ecdsa(hash) => hash.of(message),
            Self::Ed25519 => message.to_vec(),
        }
    }

    fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::RsaPkcs1(_) => Mechanism::RsaPkcs,
            Self::RsaPss(hash) => Mechanism::RsaPkcsPss(hash.pss()),
            Self::Ecdsa(_) => Mechanism::Ecdsa,
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        }
    }
}

impl Hash {
    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }

    fn of(self, message: &[u8]) -> Vec<u8> {
        digest(self.algorithm(), message).as_ref().to_vec()
    }

    /// What stands before the hash in a PKCS#1 v1.5 signature (RFC 8017, 9.2).
    fn digest_info(self) -> &'static [u8] {
        const fn of(algorithm: u8, length: u8) -> [u8; 19] {
            let oid = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, algorithm];
            let mut info = [0; 19];
            let head = [0x30, 0x11 + length, 0x30, 0x0d];
            let mut i = 0;
            while i < 19 {
                info[i] = match i {
                    0..4 => head[i],
                    4..15 => oid[i - 4],
                    15 => 0x05,
                    16 => 0x00,
                    17 => 0x04,
                    _ => length,
                };
                i += 1;
            }
            info
        }
        const SHA256_INFO: [u8; 19] = of(1, 32);
        const SHA384_INFO: [u8; 19] = of(2, 48);
        const SHA512_INFO: [u8; 19] = of(3, 64);
        match self {
            Self::Sha256 => &SHA256_INFO,
            Self::Sha384 => &SHA384_INFO,
            Self::Sha512 => &SHA512_INFO,
        }
    }

    fn pss(self) -> PkcsPssParams {
        let (hash_alg, mgf, salt) = match self {
            Self::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
            Self::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
            Self::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        };
        let s_len: std::ffi::c_ulong = salt;
        PkcsPssParams { hash_alg, mgf, s_len: s_len.into() }
    }
}
