//! Whom the client trusts, and how it shows who it is, on the level of TLS.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::{
    config::{HttpsClient, Settings},
    log::Log,
};

/// Where distributions keep the certificates that the system trusts, in one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where they keep them one by one.
const FOLDER: &str = "/etc/ssl/certs";

/// Whom to trust, and what to show.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// PEM file whose certificates are trusted besides the system's.
    pub server_certificate: Option<PathBuf>,
    /// Do not verify servers at all.
    pub skip_verify: bool,
    pub https_client: Option<HttpsClient>,
}

impl Trust {
    pub fn new(settings: &Settings) -> Self {
        Self {
            server_certificate: settings.server_certificate.clone(),
            skip_verify: settings.skip_verify,
            https_client: settings.https_client.clone(),
        }
    }
}

/// The client's own certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no {what} in PEM")]
    Missing { path: PathBuf, what: &'static str },
}

/// The system's certificates and `ServerCertificate`; an unreadable one of these is a warning.
pub(super) fn config(trust: &Trust, log: &Log) -> Result<TlsConfig, TlsError> {
    let mut trusted = system_certificates();
    if let Some(path) = &trust.server_certificate {
        match fs::read(path).map(|pem| certificates(&pem)) {
            Ok(certificates) if !certificates.is_empty() => trusted.extend(certificates),
            Ok(_) => log.warning(format_args!("{} holds no certificate", path.display())),
            Err(error) => log.warning(format_args!("cannot read {}: {error}", path.display())),
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&trusted))
        .disable_verification(trust.skip_verify);
    if let Some(client) = &trust.https_client {
        config = config.client_cert(Some(client_certificate(client)?));
    }
    Ok(config.build())
}

fn client_certificate(client: &HttpsClient) -> Result<ClientCert, TlsError> {
    let certificate = &client.certificate;
    let chain = certificates(&read(certificate)?);
    if chain.is_empty() {
        return Err(TlsError::Missing { path: certificate.clone(), what: "certificate" });
    }
    let key = PrivateKey::from_pem(&read(&client.key)?)
        .map_err(|_| TlsError::Missing { path: client.key.clone(), what: "private key" })?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn system_certificates() -> Vec<Certificate<'static>> {
    let from_environment = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let candidates = from_environment.into_iter().chain(BUNDLES.map(PathBuf::from));
    for bundle in candidates {
        if let Ok(pem) = fs::read(bundle) {
            return certificates(&pem);
        }
    }
    let folder = std::env::var_os("SSL_CERT_DIR").unwrap_or_else(|| FOLDER.into());
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let files = entries.flatten().filter_map(|entry| fs::read(entry.path()).ok());
    files.flat_map(|pem| certificates(&pem)).collect()
}

fn certificates(pem: &[u8]) -> Vec<Certificate<'static>> {
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    };
    parse_pem(pem).filter_map(certificate).collect()
}
