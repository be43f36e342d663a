//! The device's key: what proves to the server that it is this device.
//!
//! Any key that Mender's client left is used: RSA (PKCS#1 or PKCS#8), ECDSA P-256 or P-384 (SEC1 or
//! PKCS#8) and Ed25519 (PKCS#8). A new key is Ed25519, as in Mender's client since version 4.
//! P-521 is left out: it is rare, and the arithmetic of one more curve takes some 70 kB.

mod file;
mod pem;
mod place;
#[cfg(feature = "pkcs11")]
mod token;

use p384::ecdsa::{DerSignature, SigningKey as P384KeyPair, signature::hazmat::PrehashSigner};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    rsa,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};

pub use file::{load, load_or_create, replace, tls_key};
pub use place::{KeyPlace, TokenUri};
#[cfg(feature = "pkcs11")]
pub use token::TokenError;

use crate::der::{self, Spki};

/// The key cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read the key {path}")]
    Read { path: String, source: std::io::Error },
    #[error("cannot write the key {path}")]
    Write { path: String, source: std::io::Error },
    #[error("cannot use the key {path}")]
    Unusable { path: String, source: Box<Self> },
    #[error("the file holds no PEM private key")]
    NoKey,
    #[error("encrypted keys are not supported; store the key without a passphrase, mode 0600")]
    Encrypted,
    #[error(
        "the key is malformed or of an unsupported kind; use RSA with at least 2048 bits, \
         ECDSA P-256 or P-384, or Ed25519"
    )]
    Unsupported,
    #[error("no randomness to be had from the system")]
    Random,
    #[cfg(not(feature = "pkcs11"))]
    #[error(
        "{uri} lies in a token, of which this build of rota-client knows nothing; \
         build it with the cargo feature \"pkcs11\""
    )]
    NoTokens { uri: TokenUri },
    #[cfg(feature = "pkcs11")]
    #[error("cannot use the key {uri}")]
    Token { uri: TokenUri, source: Box<TokenError> },
}

/// The device's private key.
pub struct DeviceKey(Kind);

enum Kind {
    Rsa(Box<rsa::KeyPair>),
    P256(EcdsaKeyPair),
    P384(Box<P384KeyPair>),
    Ed25519(Ed25519KeyPair),
    #[cfg(feature = "pkcs11")]
    Token(token::TokenKey),
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Rsa(_) => "RSA",
            Kind::P256(_) => "P-256",
            Kind::P384(_) => "P-384",
            Kind::Ed25519(_) => "Ed25519",
            #[cfg(feature = "pkcs11")]
            Kind::Token(_) => "in a token",
        };
        write!(f, "DeviceKey({kind})")
    }
}

impl DeviceKey {
    /// Reads the first private key of a PEM file.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let block = pem::private_key(text)?;
        if block.is_encrypted {
            return Err(KeyError::Encrypted);
        }
        let der = &block.content;
        let kind = match block.label.as_str() {
            "RSA PRIVATE KEY" => rsa::KeyPair::from_der(der).ok().map(Box::new).map(Kind::Rsa),
            "EC PRIVATE KEY" => der::sec1(der).and_then(|(private, public)| ec(private, public)),
            "PRIVATE KEY" => pkcs8(der),
            _ => None,
        };
        kind.map(Self).ok_or(KeyError::Unsupported)
    }

    /// The SPKI public key in PEM, as the server stores it.
    pub fn public_pem(&self) -> String {
        let spki = match &self.0 {
            Kind::Rsa(key) => Spki::Rsa.encode(key.public().as_ref()),
            Kind::P256(key) => Spki::P256.encode(key.public_key().as_ref()),
            Kind::P384(key) => Spki::P384.encode(&public_point(key)),
            Kind::Ed25519(key) => Spki::Ed25519.encode(key.public_key().as_ref()),
            #[cfg(feature = "pkcs11")]
            Kind::Token(key) => key.spki(),
        };
        pem::encode("PUBLIC KEY", &spki)
    }

    /// Signs as Mender's protocol has it: RSA PKCS#1 v1.5 and ECDSA (DER) over SHA-256, Ed25519
    /// over the message itself.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let random = SystemRandom::new();
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| KeyError::Random)?;
                Ok(signature)
            }
            Kind::P256(key) => key
                .sign(&random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Random),
            Kind::P384(key) => {
                let hash = digest(&SHA256, message);
                let signature: DerSignature =
                    key.sign_prehash(hash.as_ref()).map_err(|_| KeyError::Unsupported)?;
                Ok(signature.as_bytes().to_vec())
            }
            Kind::Ed25519(key) => Ok(key.sign(message).as_ref().to_vec()),
            #[cfg(feature = "pkcs11")]
            Kind::Token(key) => key.sign(message),
        }
    }
}

/// `ring` wants the public half inside ECDSA documents and checks it; RFC 5958 leaves it out of
/// Ed25519 ones.
fn pkcs8(der: &[u8]) -> Option<Kind> {
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Some(Kind::Ed25519(key));
    }
    if let Ok(key) = rsa::KeyPair::from_pkcs8(der) {
        return Some(Kind::Rsa(Box::new(key)));
    }
    let (private, public) = der::sec1(der::pkcs8_content(der)?)?;
    ec(private, public)
}

/// The private half has the length of its curve's order.
fn ec(private: &[u8], public: &[u8]) -> Option<Kind> {
    match private.len() {
        32 => p256(private, public),
        48 => {
            let key = P384KeyPair::from_slice(private).ok()?;
            // Other curves have keys of this length.
            (public_point(&key) == public).then(|| Kind::P384(Box::new(key)))
        }
        _ => None,
    }
}

fn public_point(key: &P384KeyPair) -> Vec<u8> {
    key.verifying_key().to_encoded_point(false).as_bytes().to_vec()
}

fn p256(private: &[u8], public: &[u8]) -> Option<Kind> {
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        private,
        public,
        &SystemRandom::new(),
    )
    .ok()
    .map(Kind::P256)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256,
        UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::*;

    /// What OpenSSL writes.
    fn openssl(arguments: &[&str]) -> String {
        let output = Command::new("openssl")
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "openssl {arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn raw_public(key: &DeviceKey) -> Vec<u8> {
        match &key.0 {
            Kind::Rsa(key) => key.public().as_ref().to_vec(),
            Kind::P256(key) => key.public_key().as_ref().to_vec(),
            Kind::P384(key) => public_point(key),
            Kind::Ed25519(key) => key.public_key().as_ref().to_vec(),
            #[cfg(feature = "pkcs11")]
            Kind::Token(_) => unreachable!("no token is used here"),
        }
    }

    fn check(pem: &str, algorithm: &'static dyn VerificationAlgorithm) {
        let key = DeviceKey::from_pem(pem).unwrap();
        let signature = key.sign(b"message").unwrap();
        let public = UnparsedPublicKey::new(algorithm, raw_public(&key));
        public.verify(b"message", &signature).unwrap();

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, pem).unwrap();
        let expected = openssl(&["pkey", "-in", path.to_str().unwrap(), "-pubout"]);
        assert_eq!(key.public_pem(), expected, "{key:?}");
    }

    #[test]
    fn keys_that_openssl_and_mender_write_are_used() {
        check(&openssl(&["genrsa", "2048"]), &RSA_PKCS1_2048_8192_SHA256);
        check(&openssl(&["genrsa", "-traditional", "2048"]), &RSA_PKCS1_2048_8192_SHA256);
        check(&openssl(&["genpkey", "-algorithm", "ed25519"]), &ED25519);
        let curve = ["-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        check(&openssl(&[&["genpkey"], &curve[..]].concat()), &ECDSA_P256_SHA256_ASN1);
        let curve = ["-algorithm", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
        check(&openssl(&[&["genpkey"], &curve[..]].concat()), &ECDSA_P384_SHA256_ASN1);
        // With a parameter block before the key, as `openssl ecparam -genkey` writes it.
        check(&openssl(&["ecparam", "-name", "prime256v1", "-genkey"]), &ECDSA_P256_SHA256_ASN1);
    }

    #[test]
    fn new_keys_are_read_back_by_openssl() {
        check(&file::generate().unwrap(), &ED25519);
    }

    #[test]
    fn other_keys_are_refused_with_a_reason() {
        for curve in ["secp521r1", "secp256k1", "brainpoolP384r1"] {
            let key = openssl(&["ecparam", "-name", curve, "-genkey"]);
            assert!(matches!(DeviceKey::from_pem(&key), Err(KeyError::Unsupported)), "{curve}");
        }
        let short = openssl(&["genrsa", "1024"]);
        assert!(matches!(DeviceKey::from_pem(&short), Err(KeyError::Unsupported)));
        let locked = openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"]);
        assert!(matches!(DeviceKey::from_pem(&locked), Err(KeyError::Encrypted)));
        assert!(matches!(DeviceKey::from_pem("no key"), Err(KeyError::NoKey)));
    }
}
