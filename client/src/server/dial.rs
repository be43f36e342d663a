//! New connections: names resolved anew, straight or through a proxy, plain or TLS.
//!
//! Nothing is reused, so that no request meets a connection that has died unseen; TLS sessions are
//! resumed, which saves the costly part.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{ConnectionDetails, Connector, NextTimeout},
    },
};

use super::{
    ServerError,
    http::Circumstances,
    proxy::{Proxies, Proxy, bare},
    socket::Socket,
    tls,
    wire::{ReadLimit, Stream, Wire},
};
use crate::{clock::TimeOfDay, log::Log, time::rfc3339, wake::Wake};

/// For the answer of the resolver, which itself tries several name servers.
const RESOLVE: Duration = Duration::from_secs(30);

/// For each address, so that one that is dead leaves time for the next.
const CONNECT: Duration = Duration::from_secs(20);

/// For all of it: the names, the addresses, the proxy and TLS, over a link that carries a kilobyte
/// a second.
const DIAL: Duration = Duration::from_mins(2);

/// For a clock that was never set to be set.
const CLOCK: Duration = Duration::from_mins(2);

/// More addresses than these are not tried.
const MAX_ADDRESSES: usize = 8;

/// Between looks at a request to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A proxy's answer to `CONNECT`.
const MAX_PROXY_ANSWER_BYTES: usize = 16 << 10;

/// Makes the connections of an agent.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    tls: Arc<ClientConfig>,
    proxies: Proxies,
    /// Longest wait for anything to move on a connection.
    silence: Duration,
    limit: ReadLimit,
    time: TimeOfDay,
    wake: Wake,
    log: Log,
}

/// A certificate is not valid yet, and the clock was never set.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server's certificate is not valid yet, as the clock shows {now}; it must be set, by a \
     time service or by hand"
)]
pub(super) struct ClockNotSet {
    now: String,
}

impl Connector for Dialer {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Wire>, Error> {
        let buffers = (details.config.input_buffer_size(), details.config.output_buffer_size());
        let limit = details.timeout.not_zero().map(|left| *left);
        Ok(Some(self.dial(details.uri, limit, buffers)?))
    }
}

impl Dialer {
    /// Reads certificates; proxies come from the environment.
    pub(super) fn new(circumstances: &Circumstances) -> Result<Self, ServerError> {
        let Circumstances { trust, silence, time, wake, log, .. } = circumstances;
        let proxies = Proxies::from_environment(|name| std::env::var(name).ok())?;
        let tls = tls::client_config(trust, log)?;
        let (time, wake, log) = (time.clone(), wake.clone(), log.clone());
        let limit = ReadLimit::default();
        Ok(Self { tls, proxies, silence: *silence, limit, time, wake, log })
    }

    /// One like it, whose connections end as its own limit says.
    pub(super) fn limited(&self) -> (Self, ReadLimit) {
        let limit = ReadLimit::default();
        (Self { limit: limit.clone(), ..self.clone() }, limit)
    }

    fn dial(
        &self,
        uri: &Uri,
        limit: Option<Duration>,
        buffers: (usize, usize),
    ) -> io::Result<Wire> {
        let (stream, proxy) = self.reach(uri, limit)?;
        let wire = Wire::new(stream, buffers, self.limit.clone());
        Ok(match proxy {
            Some(proxy) => wire.through_proxy(uri, proxy),
            None => wire,
        })
    }

    /// Connects, within two minutes or less. The second part is the proxy that plain requests must
    /// be made for.
    pub(super) fn reach(
        &self,
        uri: &Uri,
        limit: Option<Duration>,
    ) -> io::Result<(Stream, Option<&Proxy>)> {
        let wrong = || io::Error::new(ErrorKind::InvalidInput, "the address names no host");
        let host = bare(uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?);
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        if is_tls {
            let waited = self.time.await_plausible(CLOCK, &self.wake, &self.log);
            waited.map_err(io::Error::other)?;
        }
        let deadline = Instant::now() + limit.map_or(DIAL, |limit| limit.min(DIAL));
        let proxy = self.proxies.towards(uri);
        let socket = match proxy {
            None => self.open(host, port, deadline)?,
            Some(proxy) => {
                let at_proxy = |error| of_proxy(proxy, &error);
                let mut socket = self.open(&proxy.host, proxy.port, deadline).map_err(at_proxy)?;
                if is_tls {
                    tunnel(&mut socket, proxy, host, port).map_err(at_proxy)?;
                }
                socket
            }
        };
        if is_tls {
            return Ok((Stream::Tls(Box::new(self.secure(socket, host)?)), None));
        }
        Ok((Stream::Plain(socket), proxy))
    }

    /// Connects to the first address that answers.
    fn open(&self, host: &str, port: u16, deadline: Instant) -> io::Result<Socket> {
        let mut last = io::Error::new(ErrorKind::NotFound, format!("{host} has no address"));
        for address in resolve(host, port, deadline, &self.wake)?.into_iter().take(MAX_ADDRESSES) {
            let until = deadline.min(Instant::now() + CONNECT);
            match Socket::connect(address, until, self.silence, &self.wake) {
                Ok(mut socket) => {
                    socket.set_deadline(Some(deadline));
                    return Ok(socket);
                }
                Err(error) => {
                    last = io::Error::new(error.kind(), format!("{address}: {error}"));
                }
            }
            self.wake.check().map_err(io::Error::other)?;
        }
        Err(last)
    }

    fn secure(
        &self,
        mut socket: Socket,
        host: &str,
    ) -> io::Result<StreamOwned<ClientConnection, Socket>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut session =
            ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        session.complete_io(&mut socket).map_err(|error| self.explain(error))?;
        Ok(StreamOwned::new(session, socket))
    }
}

impl Dialer {
    /// Blames the clock where it is to blame.
    fn explain(&self, error: io::Error) -> io::Error {
        use rustls::{CertificateError, Error::InvalidCertificate};

        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        let is_early = matches!(
            cause,
            Some(InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
            ))
        );
        if is_early && self.time.plausible_now().is_none() {
            return io::Error::other(ClockNotSet { now: rfc3339(self.time.now()) });
        }
        error
    }
}

/// Asks the system for a host's addresses. That cannot be interrupted, so it is left behind when
/// it takes too long.
fn resolve(host: &str, port: u16, deadline: Instant, wake: &Wake) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let name = host.to_owned();
    thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let addresses = (name.as_str(), port).to_socket_addrs();
        // Nobody listens any more when it took too long.
        let _ = sender.send(addresses.map(Iterator::collect));
    })?;
    let until = deadline.min(Instant::now() + RESOLVE);
    while Instant::now() < until {
        if let Ok(answer) = receiver.recv_timeout(LOOK) {
            return answer;
        }
        wake.check().map_err(io::Error::other)?;
    }
    let problem = format!("no name server says where {host} is");
    Err(io::Error::new(ErrorKind::TimedOut, problem))
}

/// Has the proxy connect to the target.
fn tunnel(socket: &mut Socket, proxy: &Proxy, host: &str, port: u16) -> io::Result<()> {
    let place =
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str("Proxy-Authorization: ");
        request.push_str(authorization);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    socket.write_all(request.as_bytes())?;
    let answer = read_head(socket)?;
    let status = answer.split_ascii_whitespace().nth(1).and_then(|word| word.parse().ok());
    let problem = match status {
        Some(200..=299) => return Ok(()),
        Some(407) => "it wants other credentials (status 407)".to_owned(),
        Some(status @ 100..=999) => format!("it refuses to connect to {place} (status {status})"),
        _ => "it does not speak HTTP".to_owned(),
    };
    Err(io::Error::other(problem))
}

/// Reads up to the empty line and not beyond: what follows belongs to the target.
fn read_head(socket: &mut Socket) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.extend(byte);
        if head.len() > MAX_PROXY_ANSWER_BYTES {
            return Err(io::Error::new(ErrorKind::InvalidData, "its answer does not end"));
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn of_proxy(proxy: &Proxy, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the proxy {}:{}: {error}", proxy.host, proxy.port))
}

/// Names are resolved by the [`Dialer`], which alone knows whether that of the target or of a proxy
/// is wanted.
#[derive(Debug)]
pub(super) struct LeftToDialer;

impl Resolver for LeftToDialer {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}
