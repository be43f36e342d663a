//! An authority of our own, and certificates from it.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rota_runtime::{
    Trust, install_crypto,
    server::Security,
    tls::{ClientCertificates, ClientTls, Identity, ServerTls},
};

/// An authority whose certificates lie in a temporary folder.
pub(crate) struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(dir.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// A certificate for the service `name`, which also serves on localhost.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let names = vec![name.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str| self.dir.path().join(format!("{name}.{end}"));
        std::fs::write(file("crt"), cert.pem()).unwrap();
        std::fs::write(file("key"), key.serialize_pem()).unwrap();
        Identity { cert: file("crt"), key: file("key") }
    }

    pub(crate) fn client(&self, name: &str) -> ClientTls {
        ClientTls { identity: self.identity(name), ca: self.ca() }
    }

    /// Mutual TLS that takes the word of `trusted`.
    pub(crate) fn security(&self, service: &str, trusted: &str) -> Security {
        Security::MutualTls {
            tls: ServerTls {
                identity: self.identity(service),
                clients: ClientCertificates::Required(self.ca()),
            },
            trust: Trust::certificates([trusted]),
        }
    }
}
