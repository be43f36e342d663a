//! One replica of a service: its address, and the HTTP/2 connection to it while there is one.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Uri, uri};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use super::{ConnectError, StdError};
use crate::tls::ClientTls;

/// For TCP, TLS and HTTP/2 to be set up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a lost replica is looked for while others answer.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A ping goes out after this much silence; without an answer the connection is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP/2 flow control windows in bytes; Artifacts stream through.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The connection to one replica.
pub(super) struct Replica {
    origin: uri::Parts,
    host: String,
    port: u16,
    tls: Option<ClientTls>,
    open: Mutex<Option<SendRequest<Body>>>,
    /// Held while connecting, so that callers wait for one connection instead of making many.
    dialing: Arc<tokio::sync::Mutex<()>>,
    lost_at: Mutex<Option<Instant>>,
    under_way: AtomicUsize,
}

/// Counts a call as under way until it is dropped.
pub(super) struct UnderWay(Arc<Replica>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Replica {
    /// Reads an address: `https://host:port` with TLS, `http://host:port` without.
    pub(super) fn new(address: &str, tls: Option<ClientTls>) -> Result<Self, ConnectError> {
        let wrong = |reason| ConnectError::Address { address: address.to_owned(), reason };
        let uri: Uri = address.parse().map_err(|_| wrong("it is not a URL"))?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        if uri.scheme_str() != Some(scheme) {
            return Err(wrong(if tls.is_some() {
                "it must begin with https://"
            } else {
                "it must begin with http://"
            }));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("it must end after the port"));
        }
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().ok_or_else(|| wrong("it names no port"))?;
        Ok(Self {
            origin: uri.into_parts(),
            host,
            port,
            tls,
            open: Mutex::new(None),
            dialing: Arc::default(),
            lost_at: Mutex::new(None),
            under_way: AtomicUsize::new(0),
        })
    }

    /// Counts a call that goes here.
    pub(super) fn enter(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Calls under way, as the measure of load.
    pub(super) fn load(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Whether the last attempt to reach it failed. While others can be reached, calls go to
    /// them, and none has to wait for this one.
    pub(super) fn is_lost(&self) -> bool {
        self.lost_at().is_some()
    }

    /// Looks for a lost replica in the background, once in a while.
    pub(super) fn look_for(self: &Arc<Self>) {
        if self.lost_at().is_none_or(|at| at.elapsed() < LOOK_AGAIN) {
            return;
        }
        if let Ok(dialing) = Arc::clone(&self.dialing).try_lock_owned() {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                // Whoever calls next learns what came of it.
                let _ = this.dial_within_limit().await;
                drop(dialing);
            });
        }
    }

    fn lost_at(&self) -> Option<Instant> {
        *self.lost_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the replica's scheme and authority in front of a request's path.
    pub(super) fn address(&self, request: &mut Request<Body>) {
        let mut parts = uri::Parts::default();
        parts.scheme.clone_from(&self.origin.scheme);
        parts.authority.clone_from(&self.origin.authority);
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    /// The open connection, made anew where there is none.
    pub(super) async fn connection(&self) -> Result<SendRequest<Body>, StdError> {
        if let Some(open) = self.open() {
            return Ok(open);
        }
        let lost_before = self.lost_at();
        let _dialing = self.dialing.lock().await;
        if let Some(open) = self.open() {
            return Ok(open);
        }
        if self.lost_at() != lost_before {
            // Somebody else has just tried, while we waited; it would take us as long.
            return Err("the replica was lost a moment ago".into());
        }
        self.dial_within_limit().await
    }

    /// Connects; the caller holds `dialing`.
    async fn dial_within_limit(&self) -> Result<SendRequest<Body>, StdError> {
        let dialed = match tokio::time::timeout(CONNECT_TIMEOUT, self.dial()).await {
            Ok(dialed) => dialed,
            Err(_) => Err("no connection within 2 s".into()),
        };
        let lost_at = dialed.is_err().then(Instant::now);
        *self.lost_at.lock().unwrap_or_else(PoisonError::into_inner) = lost_at;
        let connection = dialed?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(connection)
    }

    fn open(&self) -> Option<SendRequest<Body>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(SendRequest::is_closed) {
            *open = None;
        }
        open.clone()
    }

    async fn dial(&self) -> Result<SendRequest<Body>, StdError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return handshake(stream).await };
        // Read at each connection, so that renewed certificates are used without a restart.
        let connector = TlsConnector::from(Arc::new(tls.load()?));
        let name = ServerName::try_from(self.host.clone())?;
        handshake(connector.connect(name, stream).await?).await
    }
}

async fn handshake<I>(stream: I) -> Result<SendRequest<Body>, StdError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (requests, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends by itself: with the connection, or when the last sender is dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a service ended");
        }
    });
    Ok(requests)
}
