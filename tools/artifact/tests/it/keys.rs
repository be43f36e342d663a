//! Key pairs made for these tests with OpenSSL.

use rota_artifact::{SigningKey, VerifyKeys};

pub(crate) const RSA: &str = include_str!("keys/rsa.pkcs8.pem");
pub(crate) const RSA_PKCS1: &str = include_str!("keys/rsa.pkcs1.pem");
pub(crate) const RSA_ENCRYPTED: &str = include_str!("keys/rsa.encrypted.pem");
pub(crate) const RSA_PUBLIC: &str = include_str!("keys/rsa.public.pem");
pub(crate) const RSA_1024: &str = include_str!("keys/rsa1024.pem");
pub(crate) const RSA_1024_PUBLIC: &str = include_str!("keys/rsa1024.public.pem");
pub(crate) const P256: &str = include_str!("keys/p256.sec1.pem");
pub(crate) const P256_PKCS8: &str = include_str!("keys/p256.pkcs8.pem");
pub(crate) const P256_WITH_PARAMETERS: &str = include_str!("keys/p256.params.pem");
pub(crate) const P256_NO_PUBLIC: &str = include_str!("keys/p256.nopublic.pem");
pub(crate) const P256_PUBLIC: &str = include_str!("keys/p256.public.pem");
pub(crate) const P384: &str = include_str!("keys/p384.sec1.pem");
pub(crate) const P384_PUBLIC: &str = include_str!("keys/p384.public.pem");
pub(crate) const ED25519: &str = include_str!("keys/ed25519.pem");
pub(crate) const ED25519_PUBLIC: &str = include_str!("keys/ed25519.public.pem");
/// Nobody signs with this one.
pub(crate) const OTHER_PUBLIC: &str = include_str!("keys/other.public.pem");

pub(crate) fn signing(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem.as_bytes()).unwrap()
}

pub(crate) fn verifying(pems: &[&str]) -> VerifyKeys {
    let mut keys = VerifyKeys::new();
    for pem in pems {
        keys.add_pem(pem.as_bytes()).unwrap();
    }
    keys
}
