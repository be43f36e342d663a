//! A device's public key, and the proof that the device holds the private one: a signature
//! over the body of its authentication request.
//!
//! RSA (1024 to 8192 bits, PKCS #1 v1.5), ECDSA on the NIST curves P-224, P-256, P-384 and
//! P-521 (ASN.1 DER), all over SHA-256 whatever the curve; and plain Ed25519.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use p224::ecdsa::signature::hazmat::PrehashVerifier;
use ring::{
    digest,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519,
        RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents, UnparsedPublicKey,
        VerificationAlgorithm,
    },
};
use x509_parser::{
    pem::{Pem, parse_x509_pem},
    prelude::FromDer,
    x509::SubjectPublicKeyInfo,
};

use crate::token::pem;

/// The longest public key that is looked at, in bytes of PEM. RSA with 8192 bits takes 1,500.
pub const MAX_PUBLIC_KEY_BYTES: usize = 8 * 1024;

/// The longest signature that is looked at, in characters of base64. RSA with 8192 bits takes
/// 1,368.
pub const MAX_SIGNATURE_CHARACTERS: usize = 2048;

/// Bytes of a P-521 coordinate.
const P521_BYTES: usize = 66;

/// A key or a proof that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceKeyError {
    /// Longer than any key.
    #[error("the public key is longer than {MAX_PUBLIC_KEY_BYTES} bytes")]
    TooLong,
    /// No public key in PEM.
    #[error("the public key is not a PUBLIC KEY in PEM")]
    NotPem,
    /// A key whose inside is broken.
    #[error("the public key cannot be decoded")]
    Broken,
    /// A kind of key that devices do not use.
    #[error("the public key is none of RSA, ECDSA (P-224, P-256, P-384, P-521) and Ed25519")]
    Unsupported,
    /// RSA with too few or too many bits.
    #[error("an RSA key must have between 1024 and 8192 bits")]
    RsaSize,
    /// The signature is not base64, or longer than any signature.
    #[error("the signature is not standard base64")]
    SignatureEncoding,
    /// The signature is not that of this key over this body.
    #[error("the signature does not hold")]
    BadSignature,
}

/// A device's public key.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// Modulus and exponent, big-endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    Ecdsa { curve: Curve, point: Vec<u8> },
    /// The 32 bytes of the key.
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P224,
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 4] = [Self::P224, Self::P256, Self::P384, Self::P521];

    /// The curve's object identifier, as DER (RFC 5480, section 2.1.1.1).
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::P224 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x21],
            Self::P256 => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Self::P384 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            Self::P521 => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23],
        }
    }

    const fn coordinate_bytes(self) -> usize {
        match self {
            Self::P224 => 28,
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => P521_BYTES,
        }
    }
}

/// Object identifiers of the algorithms, as DER: rsaEncryption (RFC 3279), id-ecPublicKey
/// (RFC 5480), id-Ed25519 (RFC 8410).
const OID_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

const TAG_INTEGER: u8 = 0x02;
const TAG_BIT_STRING: u8 = 0x03;
const TAG_SEQUENCE: u8 = 0x30;
const NULL: &[u8] = &[0x05, 0x00];

impl DeviceKey {
    /// Reads a key in PEM: `PUBLIC KEY` (PKIX), or `RSA PUBLIC KEY` (PKCS #1).
    pub fn from_pem(text: &str) -> Result<Self, DeviceKeyError> {
        if text.len() > MAX_PUBLIC_KEY_BYTES {
            return Err(DeviceKeyError::TooLong);
        }
        let (_, Pem { label, contents }) =
            parse_x509_pem(text.as_bytes()).map_err(|_| DeviceKeyError::NotPem)?;
        match label.as_str() {
            "PUBLIC KEY" => from_pkix(&contents),
            "RSA PUBLIC KEY" => rsa(&contents),
            _ => Err(DeviceKeyError::NotPem),
        }
        .map(Self)
    }

    /// The key in PEM (`PUBLIC KEY`), in one spelling: keys are equal exactly when these texts
    /// are.
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.to_pkix())
    }

    fn to_pkix(&self) -> Vec<u8> {
        let (algorithm, key) = match &self.0 {
            Kind::Rsa { n, e } => {
                let numbers = [integer(n), integer(e)].concat();
                ([OID_RSA, NULL].concat(), element(TAG_SEQUENCE, &numbers))
            }
            Kind::Ecdsa { curve, point } => ([OID_EC, curve.oid()].concat(), point.clone()),
            Kind::Ed25519(key) => (OID_ED25519.to_vec(), key.clone()),
        };
        let bits = element(TAG_BIT_STRING, &[&[0], key.as_slice()].concat());
        element(TAG_SEQUENCE, &[element(TAG_SEQUENCE, &algorithm), bits].concat())
    }

    /// Checks that `signature` (standard base64) is this key's over `body`.
    pub fn verify(&self, body: &[u8], signature: &str) -> Result<(), DeviceKeyError> {
        if signature.len() > MAX_SIGNATURE_CHARACTERS {
            return Err(DeviceKeyError::SignatureEncoding);
        }
        let signature =
            STANDARD.decode(signature.trim()).map_err(|_| DeviceKeyError::SignatureEncoding)?;
        if self.holds(body, &signature) { Ok(()) } else { Err(DeviceKeyError::BadSignature) }
    }

    fn holds(&self, body: &[u8], signature: &[u8]) -> bool {
        let ring = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(body, signature).is_ok()
        };
        match &self.0 {
            // Fielded devices hold keys of 1024 bits; Mender takes them, and so must we.
            Kind::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, body, signature)
                .is_ok(),
            Kind::Ecdsa { curve: Curve::P224, point } => p224_holds(point, body, signature),
            Kind::Ecdsa { curve: Curve::P256, point } => ring(&ECDSA_P256_SHA256_ASN1, point),
            Kind::Ecdsa { curve: Curve::P384, point } => ring(&ECDSA_P384_SHA256_ASN1, point),
            Kind::Ecdsa { curve: Curve::P521, point } => p521_holds(point, body, signature),
            Kind::Ed25519(key) => ring(&ED25519, key),
        }
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Kind::Rsa { n, .. } => format!("RSA {}", n.len() * 8),
            Kind::Ecdsa { curve, .. } => format!("{curve:?}"),
            Kind::Ed25519(_) => "Ed25519".to_owned(),
        };
        write!(f, "DeviceKey({kind})")
    }
}

fn p224_holds(point: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let key = p224::ecdsa::VerifyingKey::from_sec1_bytes(point);
    let signature = p224::ecdsa::Signature::from_der(signature);
    let hash = digest::digest(&digest::SHA256, body);
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verify_prehash(hash.as_ref(), &signature).is_ok(),
        _ => false,
    }
}

fn p521_holds(point: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(point);
    let signature = p521::ecdsa::Signature::from_der(signature);
    // The hash is a number; the crate refuses one of fewer bytes than half the field's.
    let mut hash = [0; P521_BYTES];
    hash[P521_BYTES - digest::SHA256_OUTPUT_LEN..]
        .copy_from_slice(digest::digest(&digest::SHA256, body).as_ref());
    match (key, signature) {
        (Ok(key), Ok(signature)) => key.verify_prehash(&hash, &signature).is_ok(),
        _ => false,
    }
}

fn from_pkix(der: &[u8]) -> Result<Kind, DeviceKeyError> {
    let (rest, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| DeviceKeyError::Broken)?;
    if !rest.is_empty() {
        return Err(DeviceKeyError::Broken);
    }
    let is = |oid: &[u8]| info.algorithm.algorithm.as_bytes() == &oid[2..];
    let key = info.subject_public_key.data.as_ref();
    if is(OID_RSA) {
        rsa(key)
    } else if is(OID_EC) {
        let parameters = info.algorithm.parameters.as_ref().ok_or(DeviceKeyError::Broken)?;
        let oid = parameters.as_oid().map_err(|_| DeviceKeyError::Unsupported)?;
        let curve = Curve::ALL.into_iter().find(|curve| oid.as_bytes() == &curve.oid()[2..]);
        ecdsa(curve.ok_or(DeviceKeyError::Unsupported)?, key)
    } else if is(OID_ED25519) {
        if key.len() == 32 { Ok(Kind::Ed25519(key.to_vec())) } else { Err(DeviceKeyError::Broken) }
    } else {
        Err(DeviceKeyError::Unsupported)
    }
}

fn ecdsa(curve: Curve, point: &[u8]) -> Result<Kind, DeviceKeyError> {
    // Uncompressed, as every common tool writes it.
    if point.first() != Some(&4) || point.len() != 1 + 2 * curve.coordinate_bytes() {
        return Err(DeviceKeyError::Broken);
    }
    Ok(Kind::Ecdsa { curve, point: point.to_vec() })
}

fn rsa(der: &[u8]) -> Result<Kind, DeviceKeyError> {
    let (rest, key) =
        x509_parser::public_key::RSAPublicKey::from_der(der).map_err(|_| DeviceKeyError::Broken)?;
    let number = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (n, e) = (number(key.modulus), number(key.exponent));
    if !rest.is_empty() || n.is_empty() || e.is_empty() {
        return Err(DeviceKeyError::Broken);
    }
    let bits = n.len() * 8 - n[0].leading_zeros() as usize;
    if !(1024..=8192).contains(&bits) {
        return Err(DeviceKeyError::RsaSize);
    }
    Ok(Kind::Rsa { n, e })
}

/// An element of DER: tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    let length = content.len();
    if let Ok(short @ 0..=127) = u8::try_from(length) {
        der.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let bytes = &bytes[zeros..];
        // A length has at most eight bytes, so this cannot be cut.
        der.push(0x80 | u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        der.extend_from_slice(bytes);
    }
    der.extend_from_slice(content);
    der
}

/// A positive integer of DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    element(TAG_INTEGER, &[sign, number].concat())
}

#[cfg(test)]
mod tests;
