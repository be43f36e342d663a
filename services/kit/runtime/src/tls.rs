//! TLS from files: who we are, whom we trust, and a server configuration that follows the
//! files when they are replaced.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ProducesTickets, WebPkiClientVerifier},
};
use tokio::signal::unix::{SignalKind, signal};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::Tasks;

/// How often the files are looked at; SIGHUP makes it at once.
const RELOAD_INTERVAL: Duration = Duration::from_secs(30);

/// TLS files that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not PEM, or not of the kind that is needed.
    #[error("{path} holds no {wanted} in PEM")]
    Content {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
    },
    /// Certificate and key do not fit, or are of a kind that TLS cannot use.
    #[error("certificate {path} cannot be used")]
    Unusable {
        /// The certificate file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// No client certificate could ever be accepted.
    #[error("client authority {path} cannot be used")]
    Authority {
        /// The authority file.
        path: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// A certificate chain and its private key, in PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, own certificate first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// How to call another service: our own certificate, and the authority of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The certificate shown to the other side.
    pub identity: Identity,
    /// The authorities that server certificates must come from (PEM, one or more).
    pub ca: PathBuf,
}

/// What a server asks of its clients' certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nothing: devices and people.
    NotAsked,
    /// Verified against the authorities in this file where one is shown.
    Optional(PathBuf),
    /// A connection without one from the authorities in this file is refused: services.
    Required(PathBuf),
}

/// How to serve TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The server's certificate.
    pub identity: Identity,
    /// What it asks of clients.
    pub clients: ClientCertificates,
}

/// A verified client certificate and the names it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate itself.
    pub der: CertificateDer<'static>,
    /// Its DNS names and its common name.
    pub names: Vec<String>,
}

impl PeerCertificate {
    /// Reads the names out of a certificate. One that cannot be read speaks for nobody.
    pub(crate) fn new(der: CertificateDer<'static>) -> Self {
        let names = match x509_parser::certificate::X509Certificate::from_der(&der) {
            Ok((_, certificate)) => names(&certificate),
            Err(_) => Vec::new(),
        };
        Self { der, names }
    }
}

fn names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let dns =
        alternative.iter().flat_map(|names| &names.value.general_names).filter_map(
            |name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            },
        );
    common.chain(dns).map(str::to_owned).collect()
}

/// What is spoken inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 for those who offer it, HTTP/1.1 for all others: devices and people.
    Http,
    /// HTTP/2 alone: gRPC.
    Grpc,
}

impl Protocols {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Self::Grpc => vec![b"h2".to_vec()],
        }
    }
}

impl ClientTls {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<ClientConfig, TlsError> {
        let (chain, key) = self.identity.load()?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots(&self.ca)?)
            .with_client_auth_cert(chain, key)
            .map_err(|source| TlsError::Unusable { path: self.identity.cert.clone(), source })?;
        config.alpn_protocols = Protocols::Grpc.alpn();
        Ok(config)
    }
}

impl Identity {
    fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?)
            .map_err(|_| TlsError::Content { path: self.key.clone(), wanted: "private key" })?;
        Ok((certificates(&self.cert)?, key))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = || TlsError::Content { path: path.to_owned(), wanted: "certificate" };
    let pem = read(path)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| content())?;
    if chain.is_empty() { Err(content()) } else { Ok(chain) }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

impl ServerTls {
    fn load(
        &self,
        protocols: Protocols,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<ServerConfig, TlsError> {
        let (chain, key) = self.identity.load()?;
        let builder = match &self.clients {
            ClientCertificates::NotAsked => ServerConfig::builder().with_no_client_auth(),
            ClientCertificates::Optional(path) | ClientCertificates::Required(path) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots(path)?));
                let verifier = match self.clients {
                    ClientCertificates::Required(_) => verifier,
                    _ => verifier.allow_unauthenticated(),
                };
                let verifier = verifier
                    .build()
                    .map_err(|source| TlsError::Authority { path: path.clone(), source })?;
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::Unusable { path: self.identity.cert.clone(), source })?;
        config.alpn_protocols = protocols.alpn();
        // A fleet reconnects for every poll: stateless tickets spare it the certificate, and
        // us the memory. One ticket is enough, since one connection follows another.
        config.ticketer = tickets;
        config.send_tls13_tickets = 1;
        Ok(config)
    }

    fn files(&self) -> Vec<&Path> {
        let mut files = vec![self.identity.cert.as_path(), self.identity.key.as_path()];
        if let ClientCertificates::Optional(path) | ClientCertificates::Required(path) =
            &self.clients
        {
            files.push(path);
        }
        files
    }

    fn modified(&self) -> Vec<Option<SystemTime>> {
        let time = |path: &Path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        self.files().into_iter().map(time).collect()
    }
}

/// A server configuration that is read anew when its files change. New connections get the
/// new one; a set of files that cannot be used leaves the old one in place.
pub(crate) struct Reloading {
    tls: ServerTls,
    protocols: Protocols,
    tickets: Arc<dyn ProducesTickets>,
    current: RwLock<Arc<ServerConfig>>,
}

impl Reloading {
    pub(crate) fn new(tls: ServerTls, protocols: Protocols) -> Result<Self, TlsError> {
        let tickets = rustls::crypto::ring::Ticketer::new()
            .map_err(|source| TlsError::Unusable { path: tls.identity.cert.clone(), source })?;
        let current = RwLock::new(Arc::new(tls.load(protocols, Arc::clone(&tickets))?));
        Ok(Self { tls, protocols, tickets, current })
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(self.tls.load(self.protocols, Arc::clone(&self.tickets))?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Follows the files until the tasks stop.
    pub(crate) fn follow(self: &Arc<Self>, tasks: &Tasks) {
        let this = Arc::clone(self);
        let stop = tasks.token();
        tasks.spawn("TLS files", async move {
            let Ok(mut hangup) = signal(SignalKind::hangup()) else {
                tracing::warn!("cannot listen for SIGHUP; TLS files are read at start only");
                return;
            };
            let mut seen = this.tls.modified();
            loop {
                let told = tokio::select! {
                    () = stop.cancelled() => return,
                    _ = hangup.recv() => true,
                    () = tokio::time::sleep(RELOAD_INTERVAL) => false,
                };
                let now = this.tls.modified();
                if told || now != seen {
                    seen = now;
                    match this.reload() {
                        Ok(()) => tracing::info!(cert = %this.tls.identity.cert.display(), "TLS files read anew"),
                        Err(error) => tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "TLS files are unusable; the previous ones stay in use"
                        ),
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certificate, install_crypto};

    #[test]
    fn replaced_files_are_served_and_broken_ones_are_not() {
        install_crypto();
        let dir = tempfile::tempdir().unwrap();
        let identity =
            certificate::ensure_self_signed(dir.path(), &["a.example".to_owned()]).unwrap();
        let tls = ServerTls { identity: identity.clone(), clients: ClientCertificates::NotAsked };
        let reloading = Reloading::new(tls, Protocols::Http).unwrap();
        let first = reloading.current();

        std::fs::write(&identity.key, "nonsense").unwrap();
        assert!(matches!(reloading.reload(), Err(TlsError::Content { wanted: "private key", .. })));
        assert!(Arc::ptr_eq(&first, &reloading.current()));

        std::fs::remove_file(&identity.key).unwrap();
        std::fs::remove_file(&identity.cert).unwrap();
        certificate::ensure_self_signed(dir.path(), &["b.example".to_owned()]).unwrap();
        reloading.reload().unwrap();
        assert!(!Arc::ptr_eq(&first, &reloading.current()));
    }

    #[test]
    fn a_certificate_speaks_for_its_names() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params =
            rcgen::CertificateParams::new(vec!["gateway".to_owned(), "10.0.0.1".to_owned()])
                .unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "rota gateway");
        let der = params.self_signed(&key).unwrap().der().clone();
        let names = PeerCertificate::new(der).names;
        assert!(
            names.contains(&"gateway".to_owned()) && names.contains(&"rota gateway".to_owned())
        );
        assert!(PeerCertificate::new(CertificateDer::from(vec![1, 2, 3])).names.is_empty());
    }
}
