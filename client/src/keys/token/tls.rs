//! A token's key inside TLS.

use rustls::{
    Error, OtherError, SignatureAlgorithm, SignatureScheme,
    pki_types::SubjectPublicKeyInfoDer,
    sign::{Signer, SigningKey},
};

use super::{Hash, Scheme, TokenKey};
use crate::der::Spki;

/// Proves to a server that this client has the key of its certificate.
pub(in crate::keys) struct TlsKey(pub(in crate::keys) TokenKey);

impl std::fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsKey({})", self.0.uri)
    }
}

/// In the order of preference.
const RSA: [(SignatureScheme, Scheme); 6] = [
    (SignatureScheme::RSA_PSS_SHA256, Scheme::RsaPss(Hash::Sha256)),
    (SignatureScheme::RSA_PSS_SHA384, Scheme::RsaPss(Hash::Sha384)),
    (SignatureScheme::RSA_PSS_SHA512, Scheme::RsaPss(Hash::Sha512)),
    (SignatureScheme::RSA_PKCS1_SHA256, Scheme::RsaPkcs1(Hash::Sha256)),
    (SignatureScheme::RSA_PKCS1_SHA384, Scheme::RsaPkcs1(Hash::Sha384)),
    (SignatureScheme::RSA_PKCS1_SHA512, Scheme::RsaPkcs1(Hash::Sha512)),
];
const P256: [(SignatureScheme, Scheme); 1] =
    [(SignatureScheme::ECDSA_NISTP256_SHA256, Scheme::Ecdsa(Hash::Sha256))];
const P384: [(SignatureScheme, Scheme); 1] =
    [(SignatureScheme::ECDSA_NISTP384_SHA384, Scheme::Ecdsa(Hash::Sha384))];
const ED25519: [(SignatureScheme, Scheme); 1] = [(SignatureScheme::ED25519, Scheme::Ed25519)];

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known: &[_] = match self.0.public.kind {
            Spki::Rsa => &RSA,
            Spki::P256 => &P256,
            Spki::P384 => &P384,
            Spki::Ed25519 => &ED25519,
        };
        let can = |scheme| self.0.public.can_pss || !matches!(scheme, Scheme::RsaPss(_));
        let (name, scheme) =
            known.iter().find(|(name, scheme)| offered.contains(name) && can(*scheme))?;
        Some(Box::new(TokenSigner { key: self.0.clone(), name: *name, scheme: *scheme }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.0.spki().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.public.kind {
            Spki::Rsa => SignatureAlgorithm::RSA,
            Spki::P256 | Spki::P384 => SignatureAlgorithm::ECDSA,
            Spki::Ed25519 => SignatureAlgorithm::ED25519,
        }
    }
}

struct TokenSigner {
    key: TokenKey,
    name: SignatureScheme,
    scheme: Scheme,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenSigner({:?})", self.scheme)
    }
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = self.key.sign_with(self.scheme, message);
        let failed = |source| super::failed(&self.key.uri, source);
        signed.map_err(|error| Error::Other(OtherError(std::sync::Arc::new(failed(error)))))
    }

    fn scheme(&self) -> SignatureScheme {
        self.name
    }
}
