//! Signatures: made, verified, refused.

use base64::{Engine, engine::general_purpose::STANDARD};
use rota_artifact::{
    Builder, Error, KeyError, Limits, Resign, Signature, SigningAlgorithm, SigningKey, Summary,
    VerifyKeys, WriteError, sign, validate,
};

use crate::{
    forge::{Forge, assert_refused, check},
    keys,
};

fn signed(pem: &str) -> Vec<u8> {
    Builder::module_image("single-file", "n")
        .device_type("d")
        .file_bytes("f", "content")
        .sign_with(keys::signing(pem))
        .to_vec()
        .unwrap()
}

fn verified(artifact: &[u8], pems: &[&str]) -> Result<Summary, Error> {
    validate(artifact, &Limits::default(), Some(&keys::verifying(pems)))
}

#[test]
fn every_kind_of_key_in_every_form() {
    for (private, public) in [
        (keys::RSA, keys::RSA_PUBLIC),
        (keys::RSA_PKCS1, keys::RSA_PUBLIC),
        (keys::P256, keys::P256_PUBLIC),
        (keys::P256_PKCS8, keys::P256_PUBLIC),
        (keys::P256_WITH_PARAMETERS, keys::P256_PUBLIC),
        (keys::ED25519, keys::ED25519_PUBLIC),
    ] {
        let artifact = signed(private);
        assert_eq!(check(&artifact).unwrap().signature, Signature::Unverified);
        assert_eq!(verified(&artifact, &[public]).unwrap().signature, Signature::Verified);
        let second = verified(&artifact, &[keys::OTHER_PUBLIC, public]).unwrap();
        assert_eq!(second.signature, Signature::Verified);
        assert_refused!(verified(&artifact, &[keys::OTHER_PUBLIC]), Error::WrongSignature);
    }
}

#[test]
fn several_keys_in_one_file() {
    let both = [keys::OTHER_PUBLIC, keys::P256_PUBLIC].concat();
    let keys = VerifyKeys::from_pem(both.as_bytes()).unwrap();
    validate(&*signed(keys::P256), &Limits::default(), Some(&keys)).unwrap();
}

#[test]
fn unsigned_artifacts_are_refused_when_keys_are_given() {
    let artifact = Forge::sound().build();
    assert_refused!(verified(&artifact, &[keys::RSA_PUBLIC]), Error::MissingSignature);
}

#[test]
fn a_signature_of_another_manifest() {
    let forge = Forge::sound();
    let mut artifact = Vec::new();
    let key = keys::signing(keys::P256);
    sign(&*forge.build(), &mut artifact, &key, Resign::Refuse).unwrap();
    verified(&artifact, &[keys::P256_PUBLIC]).unwrap();

    let manifest = forge.manifest_of(&forge.header_archive());
    let at = artifact.windows(64).position(|w| w == &manifest.as_bytes()[..64]).unwrap();
    artifact[at] = if artifact[at] == b'0' { b'1' } else { b'0' };
    assert_refused!(verified(&artifact, &[keys::P256_PUBLIC]), Error::WrongSignature);
}

#[test]
fn signatures_that_are_not_base64() {
    let forge = Forge { signature: Some(b"not base64!".to_vec()), ..Forge::sound() };
    assert_refused!(forge.validate(), Error::SignatureEncoding);
}

#[test]
fn encodings_of_ecdsa_that_are_about() {
    let keys = keys::verifying(&[keys::P256_PUBLIC]);
    // A signature of 69 bytes or less, which mender-artifact 4.4 refuses by its length alone.
    let der = STANDARD.decode(include_str!("short.der.b64")).unwrap();
    assert!(der.len() < 70);
    assert!(keys.verify(b"message", &der));
    assert!(!keys.verify(b"another message", &der));

    let raw = raw_from_der(&der);
    assert!(keys.verify(b"message", &raw));
    let (r, s) = raw.split_at(32);
    let little_endian: Vec<u8> = r.iter().rev().chain(s.iter().rev()).copied().collect();
    assert!(keys.verify(b"message", &little_endian));
    assert!(!keys.verify(b"message", &raw[..63]));
    assert!(!keys.verify(b"message", b""));
}

/// `r` and `s` of a DER signature, 32 bytes each.
fn raw_from_der(der: &[u8]) -> Vec<u8> {
    let r_length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_length], &der[6 + r_length..]);
    let mut raw = Vec::new();
    for number in [r, s] {
        let significant = number.strip_prefix(&[0]).unwrap_or(number);
        raw.extend(vec![0; 32 - significant.len()]);
        raw.extend(significant);
    }
    raw
}

#[test]
fn wrapped_base64_is_accepted() {
    let forge = Forge::sound();
    let mut artifact = Vec::new();
    sign(&*forge.build(), &mut artifact, &keys::signing(keys::P256), Resign::Refuse).unwrap();
    let mut archive = tar::Archive::new(&*artifact);
    let mut entry = archive.entries().unwrap().nth(2).unwrap().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
    assert_eq!(text.len(), 88);
    let wrapped = format!("{}\r\n{}\n", &text[..64], &text[64..]);
    let forge = Forge { signature: Some(wrapped.into()), ..forge };
    verified(&forge.build(), &[keys::P256_PUBLIC]).unwrap();
}

#[test]
fn signing_again_needs_to_be_said() {
    let artifact = signed(keys::RSA);
    let key = keys::signing(keys::P256);
    let mut output = Vec::new();
    let result = sign(&*artifact, &mut output, &key, Resign::Refuse);
    assert!(matches!(result, Err(WriteError::AlreadySigned)));

    let mut output = Vec::new();
    sign(&*artifact, &mut output, &key, Resign::Replace).unwrap();
    verified(&output, &[keys::P256_PUBLIC]).unwrap();
    assert_refused!(verified(&output, &[keys::RSA_PUBLIC]), Error::WrongSignature);
}

#[test]
fn only_artifacts_are_signed() {
    let key = keys::signing(keys::P256);
    let result = sign(&b"no archive"[..], Vec::new(), &key, Resign::Refuse);
    assert!(matches!(result, Err(WriteError::NotAnArtifact(Error::Truncated { .. }))));
    let result = sign(&[0; 1024][..], Vec::new(), &key, Resign::Refuse);
    assert!(matches!(result, Err(WriteError::NotAnArtifact(Error::MissingMember { .. }))));
}

#[test]
fn unusable_private_keys_say_why() {
    let refused = |pem: &str| SigningKey::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(refused(keys::RSA_ENCRYPTED), KeyError::Encrypted);
    assert_eq!(refused(keys::RSA_1024), KeyError::RsaSize { bits: 1024 });
    assert_eq!(refused(keys::P256_NO_PUBLIC), KeyError::NoPublicHalf);
    assert!(matches!(refused(keys::P384), KeyError::Unsupported { .. }));
    assert!(matches!(refused(keys::RSA_PUBLIC), KeyError::NotFound { .. }));
    assert!(matches!(refused("nothing"), KeyError::NotFound { .. }));
}

#[test]
fn unusable_public_keys_say_why() {
    let refused = |pem: &str| VerifyKeys::from_pem(pem.as_bytes()).unwrap_err();
    assert_eq!(refused(keys::RSA_1024_PUBLIC), KeyError::RsaSize { bits: 1024 });
    assert!(matches!(refused(keys::P384_PUBLIC), KeyError::Unsupported { .. }));
    assert!(matches!(refused(keys::RSA), KeyError::NotFound { .. }));
    let damaged = "-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n";
    assert_eq!(refused(damaged), KeyError::Malformed);
}

#[test]
fn only_ed25519_is_not_portable() {
    let algorithm = |pem| keys::signing(pem).algorithm();
    assert_eq!(algorithm(keys::RSA), SigningAlgorithm::Rsa);
    assert!(algorithm(keys::P256).is_portable());
    assert!(!algorithm(keys::ED25519).is_portable());
}

#[test]
fn keys_do_not_print_themselves() {
    assert_eq!(format!("{:?}", keys::signing(keys::P256)), "SigningKey(EcdsaP256)");
}
