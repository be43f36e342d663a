//! A line to a gateway: TLS and HTTP/1.1, kept, or made anew for each request.
//!
//! Mender's clients never keep a connection: every request of theirs pays a full handshake.
//! Both ways are here, because both are measured.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request's body.
pub type Body = Full<Bytes>;

/// Where a gateway is, and what it must show.
#[derive(Clone)]
pub struct Gateway {
    address: SocketAddr,
    name: ServerName<'static>,
    host: HeaderValue,
    tls: TlsConnector,
}

/// Whether a connection serves more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All requests of a line go over one connection.
    Kept,
    /// Each request has its own, with a full handshake.
    Fresh,
}

impl Gateway {
    /// A gateway at an address, with the certificate (PEM) to trust.
    pub fn new(address: SocketAddr, name: &str, certificate: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(certificate)
            .with_context(|| format!("cannot read {}", certificate.display()))?
        {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A resumed session would not be the full handshake that is to be measured.
        config.resumption = Resumption::disabled();
        Ok(Self {
            address,
            name: ServerName::try_from(name.to_owned())?,
            host: HeaderValue::from_str(&format!("{name}:{}", address.port()))?,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// A line to it; connects when the first request is sent.
    pub fn line(&self, keep: Keep) -> Line {
        Line { gateway: self.clone(), keep, sender: None }
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        let tcp = TcpStream::connect(self.address).await.context("cannot connect")?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), tcp).await.context("no TLS")?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender, or with an error that the next request meets.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A device's or an operator's connection.
pub struct Line {
    gateway: Gateway,
    keep: Keep,
    sender: Option<SendRequest<Body>>,
}

impl Line {
    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, mut request: Request<Body>) -> Result<(StatusCode, Bytes)> {
        request.headers_mut().insert(header::HOST, self.gateway.host.clone());
        let mut sender = self.sender().await?;
        let answer = sender.send_request(request).await.context("no answer")?;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("the answer broke off")?.to_bytes();
        if self.keep == Keep::Kept {
            self.sender = Some(sender);
        }
        Ok((status, body))
    }

    /// The kept connection while it lasts, a new one otherwise.
    async fn sender(&mut self) -> Result<SendRequest<Body>> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        self.gateway.connect().await
    }
}
