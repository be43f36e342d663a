//! The accept loop: TCP, TLS, and HTTP/1.1 or HTTP/2, with a bound on everything a stranger
//! could otherwise make us wait for or keep.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Request, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::{
    Tasks, metrics,
    tls::{PeerCertificate, Protocols, Reloading, ServerTls, TlsError},
};

/// How long to wait after an accept that failed (mostly: too many open files) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// HTTP/2 flow control windows in bytes. Artifacts stream through; the default of 64 KiB
/// would cap them at one window per round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What the kernel holds of answers over HTTP/2 that it cannot send yet, in bytes. Megabytes of
/// them would hide from a handler for minutes that a slow client takes its answer.
const UNSENT: u32 = 128 << 10;

/// What a listener allows.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For the TLS handshake to finish.
    pub handshake: Duration,
    /// For a request's head to arrive on HTTP/1, counted from the end of the previous
    /// request: also how long an idle connection is kept.
    pub header_read: Duration,
    /// Connections at the same time; more wait in the kernel's queue.
    pub connections: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// For the other end to take or acknowledge something of what is sent to it, while there
    /// is something; none, where it is zero. One that is slow but moves is never cut.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header_read: Duration::from_mins(1),
            connections: 20_000,
            streams: 256,
            stall: Duration::from_mins(2),
        }
    }
}

/// The other end of a connection; an extension of every request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificate it proved to own, where one was asked for and shown.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// An address that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A bound address that does not accept yet.
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    tls: Option<Arc<Reloading>>,
    protocols: Protocols,
    limits: Limits,
}

impl Listener {
    /// Binds `address`, after the TLS files have been read. Without `tls` the traffic is
    /// plain: HTTP/1.1, or HTTP/2 with prior knowledge for [`Protocols::Grpc`]. `name` labels
    /// the metrics.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<ServerTls>,
        protocols: Protocols,
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let tls = tls.map(|tls| Reloading::new(tls, protocols)).transpose()?.map(Arc::new);
        let tcp = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError::Bind { address, source })?;
        Ok(Self { name, tcp, tls, protocols, limits })
    }

    /// The address that was bound: tells the port where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves `router` until the tasks stop, then lets requests under way finish.
    pub fn serve(self, router: Router, tasks: &Tasks) {
        if let Some(tls) = &self.tls {
            tls.follow(tasks);
        }
        let stop = tasks.token();
        tasks.spawn(self.name, self.accept(router, stop));
    }

    async fn accept(self, router: Router, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        let connections = metrics::gauge(metrics::CONNECTIONS, self.name);
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.tcp.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let connection = Connection {
                name: self.name,
                tls: self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current())),
                protocols: self.protocols,
                limits: self.limits.clone(),
                router: router.clone(),
                watcher: graceful.watcher(),
            };
            let connections = connections.clone();
            tokio::spawn(async move {
                connections.increment(1.0);
                connection.run(stream, address).await;
                connections.decrement(1.0);
                drop(slot);
            });
        }
        drop(self.tcp);
        // As long as the process gives its tasks; what is left by then ends with it.
        graceful.shutdown().await;
    }
}

struct Connection {
    name: &'static str,
    tls: Option<TlsAcceptor>,
    protocols: Protocols,
    limits: Limits,
    router: Router,
    watcher: Watcher,
}

impl Connection {
    async fn run(self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = prepare(&stream, &self.limits) {
            tracing::debug!(listener = self.name, %address, %error, "connection ended early");
            return;
        }
        let Some(acceptor) = &self.tls else {
            let http2 = self.protocols == Protocols::Grpc;
            return self.serve(stream, http2, Peer { address, certificate: None }).await;
        };
        let stream =
            match tokio::time::timeout(self.limits.handshake, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return self.no_handshake(address, &error.to_string()),
                Err(_) => return self.no_handshake(address, "timeout"),
            };
        let session = stream.get_ref().1;
        let certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| Arc::new(PeerCertificate::new(certificate.clone().into_owned())));
        let http2 = session.alpn_protocol() == Some(b"h2");
        if http2 && self.protocols == Protocols::Http {
            // Who cannot be told to hold little is served all the same.
            let _ = SockRef::from(stream.get_ref().0).set_tcp_notsent_lowat(UNSENT);
        }
        self.serve(stream, http2, Peer { address, certificate }).await;
    }

    fn no_handshake(&self, address: SocketAddr, error: &str) {
        metrics::counter(metrics::HANDSHAKE_FAILURES, self.name).increment(1);
        tracing::debug!(listener = self.name, %address, error, "no TLS handshake");
    }

    async fn serve<I>(self, stream: I, http2: bool, peer: Peer)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (name, address) = (self.name, peer.address);
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().call(request.map(Body::new))
        });
        let builder = builder(http2, &self.limits);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(listener = name, %address, error, "connection ended early");
        }
    }
}

/// What holds for every connection.
fn prepare(stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    // Small answers must not wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    // The kernel's own limit: it alone sees whether a slow client still takes bytes out of the
    // buffers between us.
    SockRef::from(stream).set_tcp_user_timeout(Some(limits.stall))
}

fn builder(http2: bool, limits: &Limits) -> auto::Builder<TokioExecutor> {
    // The protocol is known by now. Left to guess it, the builder would wait for the first
    // bytes without a limit.
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder = if http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        // Small clients look for header names by their customary spelling.
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}
