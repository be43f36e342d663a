//! Whom the client trusts, and how it shows who it is, on the level of TLS.

mod client_auth;
mod server_cert;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DEFAULT_VERSIONS, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    config::{HttpsClient, Settings},
    keys::KeyError,
    log::Log,
};

use server_cert::{NoVerifier, ServerVerifier};

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
    /// PEM file whose certificates are trusted besides the system's: authorities, or the server's
    /// very own.
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
    #[error("{path} holds no certificate in PEM")]
    NoCertificate { path: PathBuf },
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the certificate {certificate} is not that of the key {key}")]
    Mismatch { certificate: PathBuf, key: String },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

/// Reads certificates and keys. Of what is trusted, the unreadable is a warning: the system's
/// certificates may do.
pub(super) fn client_config(trust: &Trust, log: &Log) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(DEFAULT_VERSIONS)?
        .dangerous();
    let builder = if trust.skip_verify {
        builder.with_custom_certificate_verifier(Arc::new(NoVerifier::new(&provider)))
    } else {
        builder.with_custom_certificate_verifier(Arc::new(verifier(trust, &provider, log)?))
    };
    let config = match &trust.https_client {
        Some(client) => {
            builder.with_client_cert_resolver(client_auth::resolver(client, &provider, log)?)
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Trusts the system's authorities and what `ServerCertificate` holds.
fn verifier(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
    log: &Log,
) -> Result<ServerVerifier, TlsError> {
    let mut own = Vec::new();
    if let Some(path) = &trust.server_certificate {
        match fs::read(path) {
            Ok(pem) => own = certificates(&pem),
            Err(error) => log.warning(format_args!("cannot read {}: {error}", path.display())),
        }
        if own.is_empty() {
            let path = path.display();
            log.warning(format_args!("{path} gives no certificate; only the system's are trusted"));
        }
    }
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(system_certificates());
    authorities.add_parsable_certificates(own.iter().cloned());
    Ok(ServerVerifier::new(authorities, own, provider)?)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn system_certificates() -> Vec<CertificateDer<'static>> {
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

/// All certificates of a PEM file; what else it holds is no matter.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).collect()
}
