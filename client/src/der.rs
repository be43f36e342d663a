//! Just enough DER to write public keys, to find the two halves of an elliptic curve key, and to
//! see how long a certificate is valid and what it is called.

use std::time::UNIX_EPOCH;

use crate::time::parse_digits;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

// Object identifiers of RFC 3279, 5480 and 8410, as their encoded content.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
// And of X.520.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The kinds of public keys in `SubjectPublicKeyInfo` documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spki {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Spki {
    pub(crate) fn encode(self, public_key: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Rsa => [element(OID, RSA), element(NULL, &[])].concat(),
            Self::P256 => [element(OID, EC), element(OID, P256)].concat(),
            Self::P384 => [element(OID, EC), element(OID, P384)].concat(),
            Self::Ed25519 => element(OID, ED25519),
        };
        let bits = [&[0], public_key].concat();
        let content = [element(SEQUENCE, &algorithm), element(BIT_STRING, &bits)].concat();
        element(SEQUENCE, &content)
    }
}

/// PKCS#8 version 1 of an Ed25519 seed (RFC 8410): the form that every tool reads.
pub(crate) fn ed25519_pkcs8(seed: &[u8]) -> Vec<u8> {
    let content = [
        element(INTEGER, &[0]),
        element(SEQUENCE, &element(OID, ED25519)),
        element(OCTET_STRING, &element(OCTET_STRING, seed)),
    ];
    element(SEQUENCE, &content.concat())
}

/// The key inside a PKCS#8 document.
pub(crate) fn pkcs8_content(der: &[u8]) -> Option<&[u8]> {
    let mut document = Reader(Reader(der).take(SEQUENCE)?);
    document.take(INTEGER)?;
    document.take(SEQUENCE)?;
    document.take(OCTET_STRING)
}

/// Private and public half of a SEC1 document (RFC 5915). OpenSSL always writes the public half.
pub(crate) fn sec1(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut document = Reader(Reader(der).take(SEQUENCE)?);
    document.take(INTEGER)?;
    let private = document.take(OCTET_STRING)?;
    loop {
        let (tag, content) = document.next()?;
        if tag == CONTEXT_1 {
            let public = Reader(content).take(BIT_STRING)?.strip_prefix(&[0])?;
            return Some((private, public));
        }
    }
}

/// A PKCS#1 public key (RFC 8017) from big-endian numbers; `None` under 2048 bits.
#[cfg(feature = "pkcs11")]
pub(crate) fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let bytes = modulus.get(first..)?;
    let bits = bytes.len() * 8 - bytes.first()?.leading_zeros() as usize;
    let content = [unsigned(modulus), unsigned(exponent)].concat();
    (bits >= 2048).then(|| element(SEQUENCE, &content))
}

/// An ECDSA signature (RFC 3279) from its two halves.
#[cfg(feature = "pkcs11")]
pub(crate) fn ecdsa_signature(halves: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = halves.split_at_checked(halves.len() / 2).filter(|(r, s)| r.len() == s.len())?;
    Some(element(SEQUENCE, &[unsigned(r), unsigned(s)].concat()))
}

/// A positive integer.
#[cfg(feature = "pkcs11")]
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    // A zero keeps a number positive whose first bit is set; zero itself is one, too.
    let digits = bytes.get(first..).unwrap_or_default();
    let needs_zero = digits.first().is_none_or(|digit| *digit >= 0x80);
    element(INTEGER, &[if needs_zero { &[0][..] } else { &[] }, digits].concat())
}

/// The content of an octet string.
#[cfg(feature = "pkcs11")]
pub(crate) fn octet_string(der: &[u8]) -> Option<&[u8]> {
    let mut document = Reader(der);
    document.take(OCTET_STRING).filter(|_| document.0.is_empty())
}

/// The curve that parameters name; Edwards' by the name that tokens before PKCS#11 3.0 use, too.
#[cfg(feature = "pkcs11")]
pub(crate) fn curve(parameters: &[u8]) -> Option<Spki> {
    const PRINTABLE_STRING: u8 = 0x13;
    match Reader(parameters).next()? {
        (OID, P256) => Some(Spki::P256),
        (OID, P384) => Some(Spki::P384),
        (OID, ED25519) | (PRINTABLE_STRING, b"edwards25519") => Some(Spki::Ed25519),
        _ => None,
    }
}

/// From when to when a certificate (RFC 5280) is valid, in seconds since 1970.
pub(crate) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let mut validity = Reader(after_issuer(certificate)?.take(SEQUENCE)?);
    Some((time(&mut validity)?, time(&mut validity)?))
}

/// The name in a certificate's subject; the last one if there are several, as it is the nearest.
pub(crate) fn common_name(certificate: &[u8]) -> Option<&str> {
    let mut signed = after_issuer(certificate)?;
    signed.take(SEQUENCE)?;
    let mut subject = Reader(signed.take(SEQUENCE)?);
    let mut found = None;
    while let Some((_, set)) = subject.next() {
        let mut attribute = Reader(Reader(set).take(SEQUENCE)?);
        if attribute.take(OID)? == COMMON_NAME {
            found = std::str::from_utf8(attribute.next()?.1).ok();
        }
    }
    found
}

/// What comes behind the issuer in a certificate.
fn after_issuer(certificate: &[u8]) -> Option<Reader<'_>> {
    let mut signed = Reader(Reader(Reader(certificate).take(SEQUENCE)?).take(SEQUENCE)?);
    // The first version has no version.
    if signed.next()?.0 == CONTEXT_0 {
        signed.take(INTEGER)?;
    }
    for _algorithm_and_issuer in 0..2 {
        signed.take(SEQUENCE)?;
    }
    Some(signed)
}

fn time(times: &mut Reader<'_>) -> Option<u64> {
    let (tag, text) = times.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let digits = match tag {
        GENERALIZED_TIME => text.to_owned(),
        // Years with two digits end with 2049.
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        _ => return None,
    };
    // A certificate from before 1970 is valid from 1970 on, as far as a clock can tell.
    let time = parse_digits(&digits)?;
    Some(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut element = vec![tag];
    match length {
        [] => element.push(0),
        [short @ 0..=0x7f] => element.push(*short),
        long => {
            // No key is longer than what a few length bytes can say.
            element.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (length, rest) = match length {
            short @ 0..=0x7f => (usize::from(*short), rest),
            0x81 | 0x82 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}
