//! What HTTP is spoken over: a socket, with or without TLS.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rustls::{ClientConnection, StreamOwned};
use ureq::{
    Error,
    http::Uri,
    unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport},
};

use super::{proxy::Proxy, socket::Socket};

/// Bytes to and from a server.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

/// When reading is to end that has brought nothing. Clones share it, and so does each connection
/// that was made for them.
///
/// TLS gives nothing out before a record is whole, and HTTP nothing before a line of its framing is,
/// so who reads may wait for very long while byte after byte comes. The socket alone can end that.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadLimit(Arc<Mutex<Option<Instant>>>);

impl ReadLimit {
    pub(super) fn set(&self, end: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = end;
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for one request.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    buffers: LazyBuffers,
    limit: ReadLimit,
    /// Still to be written into the head of the request.
    for_proxy: Option<ForProxy>,
}

/// What a proxy wants of a request that it passes on: the whole address, and perhaps credentials.
struct ForProxy {
    origin: String,
    header: String,
}

impl std::fmt::Debug for ForProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ForProxy").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl Wire {
    pub(super) fn new(
        stream: Stream,
        (input_size, output_size): (usize, usize),
        limit: ReadLimit,
    ) -> Self {
        let buffers = LazyBuffers::new(input_size, output_size);
        Self { stream, buffers, limit, for_proxy: None }
    }

    /// For a plain request that a proxy passes on.
    pub(super) fn through_proxy(mut self, uri: &Uri, proxy: &Proxy) -> Self {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let header = proxy.authorization.as_ref();
        self.for_proxy = Some(ForProxy {
            origin: format!("http://{authority}"),
            header: header.map_or_else(String::new, |a| format!("Proxy-Authorization: {a}\r\n")),
        });
        self
    }

    fn prepare(&mut self, timeout: NextTimeout) {
        let deadline = timeout.not_zero().and_then(|left| Instant::now().checked_add(*left));
        let deadline = [deadline, self.limit.get()].into_iter().flatten().min();
        match &mut self.stream {
            Stream::Plain(socket) => socket.set_deadline(deadline),
            Stream::Tls(tls) => tls.sock.set_deadline(deadline),
        }
    }
}

impl ForProxy {
    /// `GET /path HTTP/1.1` becomes `GET http://host/path HTTP/1.1`, with the header behind it.
    fn amend(&self, head: &[u8]) -> Vec<u8> {
        let method = head.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let line = head.windows(2).position(|two| two == b"\r\n").map_or(head.len(), |end| end + 2);
        let (line, rest) = head.split_at(line);
        let (method, path) = line.split_at(method.min(line.len()));
        [method, self.origin.as_bytes(), path, self.header.as_bytes(), rest].concat()
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.prepare(timeout);
        let output = self.buffers.output();
        let output = output.get(..amount).unwrap_or(output);
        let amended;
        let output = match self.for_proxy.take() {
            Some(for_proxy) => {
                amended = for_proxy.amend(output);
                &amended
            }
            None => output,
        };
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(output)?,
            Stream::Tls(tls) => {
                tls.write_all(output)?;
                tls.flush()?;
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.prepare(timeout);
        let buffer = self.buffers.input_append_buf();
        let count = match &mut self.stream {
            Stream::Plain(socket) => socket.read(buffer)?,
            Stream::Tls(tls) => tls.read(buffer)?,
        };
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// Connections are not kept.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_gets_the_whole_address_and_its_credentials() {
        let amend = |header: &str, head: &str| {
            let for_proxy = ForProxy { origin: "http://h:1".into(), header: header.into() };
            String::from_utf8(for_proxy.amend(head.as_bytes())).unwrap()
        };
        let head = "GET /a?b=c d HTTP/1.1\r\nHost: h:1\r\n\r\nbody";
        assert_eq!(amend("", head), head.replace("/a", "http://h:1/a"));
        assert_eq!(
            amend("P: q\r\n", head),
            "GET http://h:1/a?b=c d HTTP/1.1\r\nP: q\r\nHost: h:1\r\n\r\nbody"
        );
    }
}
