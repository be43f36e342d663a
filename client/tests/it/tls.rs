//! Whom the client trusts, and how it shows who it is.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData,
    SignatureAlgorithm,
};
use rota_client::{
    config::{HttpsClient, Settings},
    keys::KeyPlace,
    records::Software,
    server::{Server, ServerError},
};
use rustls::{
    DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

use crate::{
    fake_server::{FakeServer, Response},
    openssl,
    session::session_with,
};

pub(crate) struct Identity {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

impl Identity {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(self.certificate.der().to_vec())]
    }

    fn der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// Signs certificates.
pub(crate) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let certificate = params.self_signed(&key).unwrap();
        Self { params, key, certificate }
    }

    /// An authority that this one vouches for.
    fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(name);
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self { params, key, certificate }
    }

    pub(crate) fn sign(&self, name: &str, key: KeyPair) -> Identity {
        let certificate = self.certify(name, &key);
        Identity { certificate, key }
    }

    pub(crate) fn certify(&self, name: &str, key: &impl PublicKeyData) -> rcgen::Certificate {
        params(name).signed_by(key, &self.issuer()).unwrap()
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// As `openssl req -x509 -subj /CN=…` makes it: an authority, named in its subject alone.
fn old_params(name: &str) -> CertificateParams {
    let mut params = authority_params(name);
    params.subject_alt_names.clear();
    params
}

pub(crate) fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

pub(crate) fn self_signed(params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params.self_signed(&key).unwrap(), key }
}

/// A server that lets in clients of this authority only, if one is given.
fn server(identity: &Identity, clients_of: Option<&Authority>) -> FakeServer {
    server_with(identity, clients_of, DEFAULT_VERSIONS)
}

pub(crate) fn server_with(
    identity: &Identity,
    clients_of: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> FakeServer {
    let config = server_config(identity, clients_of, versions);
    FakeServer::start_with(Some(config), |request| match request.method.as_str() {
        "POST" if request.path.ends_with("auth_requests") => Response::new(200, "token"),
        _ => Response::empty(204),
    })
}

/// A server that anybody may talk to.
pub(crate) fn open_to_all(identity: &Identity) -> Arc<ServerConfig> {
    server_config(identity, None, DEFAULT_VERSIONS)
}

pub(crate) fn server_config(
    identity: &Identity,
    clients_of: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    Arc::new(builder.with_single_cert(identity.chain(), identity.der()).unwrap())
}

fn poll(server: &FakeServer, settings: &Settings) -> Result<(), ServerError> {
    session_with(&[server], settings).0.poll(&Software::default()).map(|_| ())
}

/// Polls a server, with `trusted` as `ServerCertificate`.
fn poll_trusting(
    server: &FakeServer,
    trusted: Option<&rcgen::Certificate>,
    skip_verify: bool,
) -> Result<(), ServerError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("server.crt");
    if let Some(certificate) = trusted {
        fs::write(&path, certificate.pem()).unwrap();
    }
    let server_certificate = trusted.map(|_| path);
    poll(server, &Settings { server_certificate, skip_verify, ..Settings::default() })
}

#[test]
fn a_servers_own_certificate_can_be_trusted() {
    for params in [params("localhost"), authority_params("localhost"), old_params("localhost")] {
        let identity = self_signed(&params);
        poll_trusting(&server(&identity, None), Some(&identity.certificate), false).unwrap();
    }
}

#[test]
fn a_private_authority_can_be_trusted() {
    let authority = Authority::new("authority");
    let identity = authority.sign("localhost", KeyPair::generate().unwrap());
    poll_trusting(&server(&identity, None), Some(&authority.certificate), false).unwrap();
}

#[test]
fn strangers_and_other_names_are_refused_unless_nothing_is_verified() {
    let stranger = self_signed(&params("localhost"));
    let other = self_signed(&params("elsewhere"));
    let other_authority = self_signed(&authority_params("elsewhere"));
    let other_name = self_signed(&old_params("elsewhere"));
    let mut past = authority_params("localhost");
    past.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut future = authority_params("localhost");
    future.not_before = rcgen::date_time_ymd(2999, 1, 1);
    let (expired, unborn) = (self_signed(&past), self_signed(&future));
    for (identity, trusted) in [
        (&stranger, None),
        (&stranger, Some(&expired.certificate)),
        (&other, Some(&other.certificate)),
        (&other_authority, Some(&other_authority.certificate)),
        (&other_name, Some(&other_name.certificate)),
        (&expired, Some(&expired.certificate)),
        (&unborn, Some(&unborn.certificate)),
    ] {
        let server = server(identity, None);
        let refused = poll_trusting(&server, trusted, false);
        assert!(matches!(refused, Err(ServerError::Http(_))), "{refused:?}");
        assert!(server.requests().is_empty());
        poll_trusting(&server, trusted, true).unwrap();
    }
}

/// A client's certificate and key in files.
struct ClientFiles(TempDir);

impl ClientFiles {
    fn new(chain: &[&rcgen::Certificate], key: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let chain: String = chain.iter().map(|certificate| certificate.pem()).collect();
        fs::write(files.path("client.crt"), chain).unwrap();
        fs::write(files.path("client.key"), key).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Polls a server that is not verified.
    fn poll(&self, server: &FakeServer) -> Result<(), ServerError> {
        let https_client = HttpsClient {
            certificate: self.path("client.crt"),
            key: KeyPlace::File(self.path("client.key")),
        };
        let https_client = Some(https_client);
        poll(server, &Settings { https_client, skip_verify: true, ..Settings::default() })
    }
}

#[test]
fn every_kind_of_key_proves_a_client() {
    let authority = Authority::new("devices");
    let server = server(&self_signed(&params("localhost")), Some(&authority));
    let made = |algorithm: &'static SignatureAlgorithm| {
        KeyPair::generate_for(algorithm).unwrap().serialize_pem()
    };
    for key in [
        made(&PKCS_ECDSA_P256_SHA256),
        made(&PKCS_ECDSA_P384_SHA384),
        made(&PKCS_ED25519),
        openssl(&["genrsa", "2048"]),
    ] {
        let identity = authority.sign("device", KeyPair::from_pem(&key).unwrap());
        let files = ClientFiles::new(&[&identity.certificate], &key);
        files.poll(&server).unwrap();
    }
    // The forms of long ago.
    for pem in [
        openssl(&["genrsa", "-traditional", "2048"]),
        openssl(&["ecparam", "-name", "prime256v1", "-genkey"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, &pem).unwrap();
        let modern = openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", path.to_str().unwrap()]);
        let identity = authority.sign("device", KeyPair::from_pem(&modern).unwrap());
        ClientFiles::new(&[&identity.certificate], &pem).poll(&server).unwrap();
    }
}

#[test]
fn a_key_that_others_may_read_is_locked_up() {
    let authority = Authority::new("devices");
    let server = server(&self_signed(&params("localhost")), Some(&authority));
    let identity = authority.sign("device", KeyPair::generate().unwrap());
    let files = ClientFiles::new(&[&identity.certificate], &identity.key.serialize_pem());
    let key = files.path("client.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    files.poll(&server).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(not(feature = "pkcs11"))]
#[test]
fn a_build_without_tokens_names_the_feature_that_is_missing() {
    let server = server(&self_signed(&params("localhost")), None);
    let key = KeyPlace::from(PathBuf::from("pkcs11:object=key?pin-value=1234"));
    let identity = self_signed(&params("device"));
    let files = ClientFiles::new(&[&identity.certificate], "");
    let https_client = Some(HttpsClient { certificate: files.path("client.crt"), key });
    let settings = Settings { https_client, skip_verify: true, ..Settings::default() };
    let error = poll(&server, &settings).unwrap_err();
    let text = rota_client::log::chain(&error);
    assert!(text.contains("the cargo feature \"pkcs11\"") && !text.contains("1234"), "{text}");
}

#[test]
fn a_client_shows_the_chain_that_leads_to_the_authority() {
    let authority = Authority::new("devices");
    let between = authority.intermediate("devices of this year");
    let identity = between.sign("device", KeyPair::generate().unwrap());
    let server = server(&self_signed(&params("localhost")), Some(&authority));
    let key = identity.key.serialize_pem();
    ClientFiles::new(&[&identity.certificate, &between.certificate], &key).poll(&server).unwrap();
    let outcome = ClientFiles::new(&[&identity.certificate], &key).poll(&server);
    assert!(matches!(outcome, Err(ServerError::Http(_))), "{outcome:?}");
}

#[test]
fn without_a_certificate_of_its_authority_a_server_lets_nobody_in() {
    let authority = Authority::new("devices");
    let server = server(&self_signed(&params("localhost")), Some(&authority));
    let outcome = poll_trusting(&server, None, true);
    assert!(matches!(outcome, Err(ServerError::Http(_))), "{outcome:?}");
    let stranger = self_signed(&params("device"));
    let files = ClientFiles::new(&[&stranger.certificate], &stranger.key.serialize_pem());
    assert!(matches!(files.poll(&server), Err(ServerError::Http(_))));
    assert!(server.requests().is_empty());
}

#[test]
fn client_files_that_cannot_be_used_are_named() {
    let server = server(&self_signed(&params("localhost")), None);
    let (one, other) = (self_signed(&params("device")), self_signed(&params("device")));
    let key = one.key.serialize_pem();
    let problem = |chain: &[&rcgen::Certificate], key: &str| {
        let files = ClientFiles::new(chain, key);
        let error = files.poll(&server).unwrap_err();
        rota_client::log::chain(&error).replace(&files.0.path().display().to_string(), "")
    };
    let locked = openssl(&["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"]);
    for (problem, expected) in [
        (problem(&[], &key), "/client.crt holds no certificate in PEM"),
        (problem(&[&one.certificate], ""), "/client.key: the file holds no PEM private key"),
        (problem(&[&one.certificate], &locked), "encrypted keys are not supported"),
        (problem(&[&other.certificate], &key), "is not that of the key /client.key"),
    ] {
        assert!(problem.contains(expected), "{problem}");
    }
    assert!(server.requests().is_empty());
}
