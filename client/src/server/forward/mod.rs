//! The way to the server for programs beside the client: plain HTTP on this machine, and from here
//! on the client's TLS, certificates and proxies.
//!
//! One connection in is one connection out, to the server that accepted the device and to no other.
//! After the head of the request, which is made to fit, bytes go both ways unchanged, so upgrades to
//! WebSocket pass like everything else.

mod pump;
mod request;

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ureq::http::Uri;

use super::{ServerError, authority::Authority, dial::Dialer};
use crate::log::{Log, chain};

use request::Head;

/// At a time; the add-ons make one or two.
const MAX_CONNECTIONS: usize = 16;

/// Refusals at a time; what comes on top of them is closed without a word.
const MAX_REFUSALS: usize = 16;

/// For the head of a request.
const HEAD: Duration = Duration::from_secs(30);
const MAX_HEAD_BYTES: usize = 64 << 10;

/// For a program to take a refusal, and to go.
const FAREWELL: Duration = Duration::from_millis(300);

/// When no connection can be accepted, say because the process has too many files open.
const BREATHE: Duration = Duration::from_secs(1);

/// Listens on this machine alone.
#[derive(Clone)]
pub struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    log: Log,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    target: Option<Arc<Target>>,
    open: Vec<Open>,
    next: u64,
    /// Connections that are being told why they are not served.
    refusals: usize,
}

/// A connection is not served, and this is why.
struct Refused(&'static str);

/// Where connections lead.
struct Target {
    server: Uri,
    dialer: Dialer,
    silence: Duration,
}

/// A connection that is being served, with a handle to end it.
struct Open {
    number: u64,
    local: TcpStream,
}

impl Forwarder {
    /// Begins to listen; there is no target yet.
    pub fn start(log: Log) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { log, state: Mutex::default() });
        let forwarder = Self { address, shared: shared.clone() };
        thread::Builder::new().name("forward".to_owned()).spawn(move || {
            for connection in listener.incoming() {
                match connection {
                    Ok(local) => shared.take(local),
                    Err(error) => {
                        shared.log.warning(format_args!("cannot accept a connection: {error}"));
                        thread::sleep(BREATHE);
                    }
                }
            }
        })?;
        Ok(forwarder)
    }

    /// Where programs connect to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads new connections to this server, with the authority's certificates and proxies. Those
    /// that lead elsewhere end.
    pub fn lead_to(&self, server: &str, authority: &Authority) -> Result<(), ServerError> {
        let server: Uri = server.parse().map_err(|_| ServerError::NoServer)?;
        let circumstances = authority.circumstances();
        let silence = circumstances.silence;
        let target = Target { server, dialer: Dialer::new(&circumstances)?, silence };
        let mut state = self.shared.state();
        if state.target.as_ref().is_some_and(|old| old.server != target.server) {
            state.end_all();
        }
        state.target = Some(Arc::new(target));
        Ok(())
    }

    /// Ends all connections, and takes none before there is a server again.
    pub fn stop(&self) {
        let mut state = self.shared.state();
        state.target = None;
        state.end_all();
    }
}

impl State {
    fn end_all(&self) {
        for open in &self.open {
            // One that has ended already is as good.
            let _ = open.local.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection, under a number, if it can be served now.
    fn admit(&self, local: TcpStream) -> Result<(u64, Arc<Target>), Refused> {
        let mut state = self.state();
        let target = state.target.clone().ok_or(Refused("no server accepts the device"))?;
        if state.open.len() >= MAX_CONNECTIONS {
            return Err(Refused("too many connections"));
        }
        let number = state.next;
        state.next += 1;
        state.open.push(Open { number, local });
        Ok((number, target))
    }

    /// Serves a connection, or refuses it, in a thread of its own: neither may hold up whoever
    /// connects next, or says where connections lead.
    fn take(self: &Arc<Self>, local: TcpStream) {
        let Ok(handle) = local.try_clone() else { return };
        let (number, target) = match self.admit(handle) {
            Ok(admitted) => admitted,
            Err(Refused(reason)) => return self.turn_away(local, reason),
        };
        let shared = self.clone();
        let serve = move || {
            if let Err(error) = target.serve(&local) {
                shared.log.debug(format_args!("a forwarded connection ended: {error}"));
            }
            shared.close(number);
        };
        if let Err(error) = thread::Builder::new().name("forwarded".to_owned()).spawn(serve) {
            self.log.warning(format_args!("cannot forward a connection: {error}"));
            self.close(number);
        }
    }

    fn turn_away(self: &Arc<Self>, local: TcpStream, reason: &'static str) {
        {
            let mut state = self.state();
            if state.refusals >= MAX_REFUSALS {
                return;
            }
            state.refusals += 1;
        }
        let shared = self.clone();
        let tell = move || {
            refuse(&local, "503 Service Unavailable", reason);
            shared.state().refusals -= 1;
        };
        if let Err(error) = thread::Builder::new().name("refused".to_owned()).spawn(tell) {
            self.log.warning(format_args!("cannot refuse a connection: {error}"));
            self.state().refusals -= 1;
        }
    }

    fn close(&self, number: u64) {
        self.state().open.retain(|open| open.number != number);
    }
}

impl Target {
    fn serve(&self, local: &TcpStream) -> io::Result<()> {
        let (head, body) = match read_head(local) {
            Ok(read) => read,
            Err(error) => {
                refuse(local, "400 Bad Request", &error.to_string());
                return Err(error);
            }
        };
        let (stream, proxy) = match self.dialer.reach(&self.server, None) {
            Ok(reached) => reached,
            Err(error) => {
                refuse(local, "502 Bad Gateway", &chain(&error));
                return Err(error);
            }
        };
        let mut first = head.for_server(&self.server, proxy);
        first.extend(body);
        pump::run(local, stream, first, self.silence)
    }
}

/// Reads up to the empty line; what came behind it is the second part.
fn read_head(mut local: &TcpStream) -> io::Result<(Head, Vec<u8>)> {
    const END: &[u8] = b"\r\n\r\n";
    let wrong = |problem: &str| io::Error::new(io::ErrorKind::InvalidData, problem.to_owned());
    let deadline = Instant::now() + HEAD;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        local.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        let count = local.read(&mut buffer)?;
        bytes.extend(buffer.get(..count).unwrap_or_default());
        if let Some(end) = bytes.windows(END.len()).position(|window| window == END) {
            let body = bytes.split_off(end + END.len());
            let text = String::from_utf8(bytes).map_err(|_| wrong("the request is no text"))?;
            return Head::parse(&text).map(|head| (head, body)).map_err(wrong);
        }
        if count == 0 || bytes.len() > MAX_HEAD_BYTES || left.is_zero() {
            return Err(wrong("the head of the request does not end"));
        }
    }
}

/// Says in HTTP why there is no connection.
fn refuse(mut local: &TcpStream, status: &str, reason: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{reason}",
        reason.len()
    );
    // Bytes that nobody has read when a connection closes would take the answer with them. Whoever
    // does not wait for it does not need it.
    let mut farewell = || -> io::Result<()> {
        local.write_all(answer.as_bytes())?;
        local.shutdown(Shutdown::Write)?;
        let until = Instant::now() + FAREWELL;
        let mut rest = [0; 4096];
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            local.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            if local.read(&mut rest)? == 0 {
                break;
            }
        }
        Ok(())
    };
    let _ = farewell();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    /// Whoever does not take a refusal keeps nobody from changing where connections lead, nor the
    /// next one from being told.
    #[test]
    fn a_refusal_holds_up_nobody() {
        let forwarder = Forwarder::start(Log::new(Level::Error, Box::new(io::sink()))).unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut local = TcpStream::connect(forwarder.address).unwrap();
            let mut first = [0; 12];
            local.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"HTTP/1.1 503");
            assert!(forwarder.shared.state.try_lock().is_ok(), "somebody holds the state");
            waiting.push(local);
        }
        for mut local in waiting {
            local.shutdown(Shutdown::Write).unwrap();
            let mut rest = String::new();
            local.read_to_string(&mut rest).unwrap();
            assert!(rest.ends_with("no server accepts the device"), "{rest}");
        }
    }
}
