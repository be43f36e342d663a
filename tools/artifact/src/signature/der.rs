//! Just enough DER to find the key inside an SPKI, PKCS#8 or SEC1 document.

use super::KeyError;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
#[cfg(feature = "write")]
pub(super) const OCTET_STRING: u8 = 0x04;
#[cfg(feature = "write")]
pub(super) const CONTEXT_0: u8 = 0xa0;
#[cfg(feature = "write")]
pub(super) const CONTEXT_1: u8 = 0xa1;

// Object identifiers of RFC 3279, 5480 and 8410, as their encoded content.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
pub(super) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// The kinds of keys that the format signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    Ed25519,
}

/// Reads DER elements one after the other.
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the next element, which must have `tag`.
    pub(super) fn take(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        self.take_if(tag)?.ok_or(KeyError::Malformed)
    }

    /// The content of the next element if it has `tag`.
    pub(super) fn take_if(&mut self, tag: u8) -> Result<Option<&'a [u8]>, KeyError> {
        let [found, length, rest @ ..] = self.0 else { return Ok(None) };
        if *found != tag {
            return Ok(None);
        }
        let (length, rest) = match length {
            short @ 0..=0x7f => (usize::from(*short), rest),
            0x81 | 0x82 => {
                let (bytes, rest) =
                    rest.split_at_checked(usize::from(length & 0x7f)).ok_or(KeyError::Malformed)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return Err(KeyError::Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(KeyError::Malformed)?;
        self.0 = rest;
        Ok(Some(content))
    }

    /// The content of the next element, a bit string of whole bytes.
    pub(super) fn take_bits(&mut self) -> Result<&'a [u8], KeyError> {
        self.take(BIT_STRING)?.strip_prefix(&[0]).ok_or(KeyError::Malformed)
    }

    /// Reads an `AlgorithmIdentifier`.
    pub(super) fn take_algorithm(&mut self) -> Result<KeyKind, KeyError> {
        let mut algorithm = Der::new(self.take(SEQUENCE)?);
        match algorithm.take(OID)? {
            RSA => Ok(KeyKind::Rsa),
            ED25519 => Ok(KeyKind::Ed25519),
            EC if algorithm.take_if(OID)? == Some(P256) => Ok(KeyKind::P256),
            EC => Err(KeyError::Unsupported { found: "elliptic curve other than P-256" }),
            _ => Err(KeyError::Unsupported { found: "these" }),
        }
    }
}

/// Number of bits in the modulus that starts a PKCS#1 public key.
pub(super) fn rsa_modulus_bits(public_key: &[u8]) -> Result<usize, KeyError> {
    integer_bits(Der::new(Der::new(public_key).take(SEQUENCE)?).take(INTEGER)?)
}

/// Number of bits in a positive integer's content.
pub(super) fn integer_bits(integer: &[u8]) -> Result<usize, KeyError> {
    let significant = integer.iter().skip_while(|byte| **byte == 0).count();
    let first = integer.iter().find(|byte| **byte != 0).ok_or(KeyError::Malformed)?;
    Ok(significant * 8 - first.leading_zeros() as usize)
}
