//! Bytes both ways between a local connection and one to the server, in one thread.
//!
//! Each direction ends by itself: who has said all may still listen. Nothing wakes the device while
//! nothing moves.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use rustls::ClientConnection;

use crate::server::wire::Stream;

/// On the way in each direction.
const BUFFER_BYTES: usize = 16 << 10;

/// When the server has said all: for the program to take it, and to go.
const FAREWELL: Duration = Duration::from_secs(10);

/// Forwards until both ends have closed; `first` goes to the server before everything else.
pub(super) fn run(
    local: &TcpStream,
    remote: Stream,
    first: Vec<u8>,
    silence: Duration,
) -> io::Result<()> {
    local.set_nonblocking(true)?;
    let up = Direction { pending: first, ..Direction::default() };
    let mut pump = Pump { local, remote: Remote::new(remote), up, down: Direction::default() };
    let mut moved = Instant::now();
    loop {
        if pump.turn()? {
            moved = Instant::now();
        }
        if pump.up.is_closed && pump.down.is_closed && !pump.remote.wants_write() {
            return Ok(());
        }
        let limit = if pump.down.is_closed { FAREWELL } else { silence };
        let left = (moved + limit).saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "nothing moved for too long"));
        }
        pump.wait(left)?;
    }
}

struct Pump<'a> {
    local: &'a TcpStream,
    remote: Remote,
    /// To the server.
    up: Direction,
    /// From the server.
    down: Direction,
}

/// One way of the traffic.
#[derive(Default)]
struct Direction {
    /// Read and not yet written.
    pending: Vec<u8>,
    /// The source has said all.
    is_over: bool,
    /// And the other end was told.
    is_closed: bool,
}

impl Direction {
    fn has_room(&self) -> bool {
        !self.is_over && self.pending.len() < BUFFER_BYTES
    }

    /// Moves what can be moved; whether anything could.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<bool> {
        if !self.has_room() {
            return Ok(false);
        }
        let mut buffer = [0; BUFFER_BYTES];
        let Some(count) = unless_blocked(read(&mut buffer))? else { return Ok(false) };
        self.is_over = count == 0;
        self.pending.extend(buffer.get(..count).unwrap_or_default());
        Ok(true)
    }

    fn drain(&mut self, write: impl FnOnce(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        let Some(count) = unless_blocked(write(&self.pending))? else { return Ok(false) };
        self.pending.drain(..count);
        Ok(count > 0)
    }

    /// Whether the other end is to be told now that nothing more comes.
    fn is_to_close(&self) -> bool {
        self.is_over && self.pending.is_empty() && !self.is_closed
    }
}

impl Pump<'_> {
    /// Moves what can be moved without waiting; whether that was anything.
    fn turn(&mut self) -> io::Result<bool> {
        let mut has_moved = false;
        loop {
            let (mut local, remote) = (self.local, &mut self.remote);
            let mut moves = self.up.fill(|buffer| local.read(buffer))?;
            moves |= self.up.drain(|bytes| remote.write(bytes))?;
            if self.up.is_to_close() {
                remote.close();
                self.up.is_closed = true;
            }
            remote.flush()?;
            moves |= self.down.fill(|buffer| remote.read(buffer))?;
            moves |= self.down.drain(|bytes| local.write(bytes))?;
            if self.down.is_to_close() {
                // A program that has gone cannot be told.
                let _ = local.shutdown(Shutdown::Write);
                self.down.is_closed = true;
            }
            if !moves {
                return Ok(has_moved);
            }
            has_moved = true;
        }
    }

    fn wait(&self, limit: Duration) -> io::Result<()> {
        let flags = |reads, writes| {
            let read = if reads { PollFlags::IN } else { PollFlags::empty() };
            let write = if writes { PollFlags::OUT } else { PollFlags::empty() };
            read | write
        };
        let local = flags(self.up.has_room(), !self.down.pending.is_empty());
        let remote_writes = self.remote.wants_write() || !self.up.pending.is_empty();
        let remote = flags(self.down.has_room(), remote_writes);
        let remote_socket = self.remote.socket();
        let mut sockets = Vec::with_capacity(2);
        // One that is waited for in no direction would only say that it has ended, for ever.
        for (socket, flags) in [(self.local, local), (remote_socket, remote)] {
            if !flags.is_empty() {
                sockets.push(PollFd::new(socket, flags));
            }
        }
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut sockets, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The connection to the server.
enum Remote {
    Plain(TcpStream),
    Tls { socket: TcpStream, session: Box<ClientConnection>, is_closing: bool },
}

impl Remote {
    fn new(stream: Stream) -> Self {
        match stream {
            Stream::Plain(socket) => Self::Plain(socket.into_stream()),
            Stream::Tls(tls) => {
                let (session, socket) = tls.into_parts();
                let socket = socket.into_stream();
                Self::Tls { socket, session: Box::new(session), is_closing: false }
            }
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) | Self::Tls { socket, .. } => socket,
        }
    }

    fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls { session, .. } => session.wants_write(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (socket, session) = match self {
            Self::Plain(socket) => return socket.read(buffer),
            Self::Tls { socket, session, .. } => (socket, session),
        };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A server that ends without a word of farewell: HTTP says where bodies end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            session.read_tls(socket)?;
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls { session, .. } => session.writer().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self::Tls { socket, session, is_closing } = self else { return Ok(()) };
        while session.wants_write() {
            if unless_blocked(session.write_tls(socket))?.is_none() {
                return Ok(());
            }
        }
        if std::mem::take(is_closing) {
            let _ = socket.shutdown(Shutdown::Write);
        }
        Ok(())
    }

    /// Says that nothing more comes. A server that has gone cannot be told.
    fn close(&mut self) {
        match self {
            Self::Plain(socket) => {
                let _ = socket.shutdown(Shutdown::Write);
            }
            Self::Tls { session, is_closing, .. } => {
                session.send_close_notify();
                *is_closing = true;
            }
        }
    }
}

/// `None` if nothing could be done without waiting.
fn unless_blocked(outcome: io::Result<usize>) -> io::Result<Option<usize>> {
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::{server::socket::Socket, wake::Wake};

    const LONG: Duration = Duration::from_mins(1);

    /// A program and a server with a pump between them.
    fn pumped(silence: Duration) -> (TcpStream, TcpStream, thread::JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let program = TcpStream::connect(address).unwrap();
        let local = listener.accept().unwrap().0;
        let until = Instant::now() + LONG;
        let socket = Socket::connect(address, until, LONG, &Wake::default()).unwrap();
        let server = listener.accept().unwrap().0;
        for end in [&program, &server] {
            end.set_read_timeout(Some(LONG)).unwrap();
        }
        let first = b"first ".to_vec();
        let run = move || run(&local, Stream::Plain(socket), first, silence);
        (program, server, thread::spawn(run))
    }

    fn read_all(mut stream: &TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn who_has_said_all_may_still_listen() {
        let (mut program, mut server, pump) = pumped(LONG);
        program.write_all(b"hello").unwrap();
        program.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&server), "first hello");
        server.write_all(b"farewell").unwrap();
        drop(server);
        assert_eq!(read_all(&program), "farewell");
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn a_server_that_ends_ends_what_the_program_reads_only() {
        let (mut program, mut server, pump) = pumped(LONG);
        server.write_all(b"farewell").unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&program), "farewell");
        program.write_all(b"hello").unwrap();
        drop(program);
        assert_eq!(read_all(&server), "first hello");
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn floods_in_both_directions_do_not_block_each_other() {
        const BYTES: usize = 4 << 20;
        let (program, server, pump) = pumped(LONG);
        let writers = [&program, &server].map(|end| {
            let mut end = end.try_clone().unwrap();
            thread::spawn(move || {
                end.write_all(&vec![b'x'; BYTES]).unwrap();
                end.shutdown(Shutdown::Write).unwrap();
            })
        });
        let reader = thread::spawn(move || read_all(&server).len());
        assert_eq!(read_all(&program).len(), BYTES);
        assert_eq!(reader.join().unwrap(), BYTES + b"first ".len());
        for writer in writers {
            writer.join().unwrap();
        }
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn a_connection_on_which_nothing_moves_is_given_up() {
        let (_program, _server, pump) = pumped(Duration::from_millis(50));
        assert_eq!(pump.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
