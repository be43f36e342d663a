//! Whom the client trusts.

use std::{fs, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rota_client::{config::Settings, server::ServerError};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use crate::{
    fake_server::{FakeServer, Response},
    session::session_with,
};

struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn server(identity: &Identity) -> FakeServer {
    let chain = vec![CertificateDer::from(identity.certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    FakeServer::start_with(Some(Arc::new(config)), |_| Response::new(200, "token"))
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params(name).self_signed(&key).unwrap(), key }
}

/// Authenticates at a server, with `trusted` as `ServerCertificate`.
fn authenticate(
    server: &FakeServer,
    trusted: Option<&rcgen::Certificate>,
    skip_verify: bool,
) -> Result<(), ServerError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.crt");
    if let Some(certificate) = trusted {
        fs::write(&path, certificate.pem()).unwrap();
    }
    let settings =
        Settings { server_certificate: trusted.map(|_| path), skip_verify, ..Settings::default() };
    session_with(&[server], &settings).0.authenticate()
}

#[test]
fn a_servers_own_certificate_can_be_trusted() {
    let identity = self_signed("localhost");
    let server = server(&identity);
    authenticate(&server, Some(&identity.certificate), false).unwrap();
}

#[test]
fn a_private_authority_can_be_trusted() {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca_params = params("authority");
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = ca_params.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&ca_params, &ca_key);
    let certificate = params("localhost").signed_by(&key, &issuer).unwrap();
    let server = server(&Identity { certificate, key });
    authenticate(&server, Some(&ca), false).unwrap();
}

#[test]
fn strangers_and_other_names_are_refused_unless_nothing_is_verified() {
    let (stranger, other) = (self_signed("localhost"), self_signed("elsewhere"));
    for (identity, trusted) in [(&stranger, None), (&other, Some(&other.certificate))] {
        let server = server(identity);
        let refused = authenticate(&server, trusted, false);
        assert!(matches!(refused, Err(ServerError::Http(_))), "{refused:?}");
        assert!(server.requests().is_empty());
        authenticate(&server, trusted, true).unwrap();
    }
}
