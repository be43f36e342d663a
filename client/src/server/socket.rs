//! A TCP connection on which no wait is endless.
//!
//! A wait ends when nothing came for a while, when its deadline is over, when the client is to
//! stop, and when the device has lost the address that the connection was made from: after a change
//! of network such a connection looks alive for ever.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt},
};

use crate::wake::Wake;

/// Between looks at a request to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Between looks at the device's addresses while nothing comes.
const ADDRESS_LOOK: Duration = Duration::from_secs(5);

/// So often the kernel asks a silent peer whether it is there, which also keeps the state of
/// routers on the way alive.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// A connected, non-blocking socket that reads and writes as if it blocked, within limits.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    wake: Wake,
    /// Longest wait for anything to move.
    silence: Duration,
    /// End of whatever is under way.
    deadline: Option<Instant>,
}

impl Socket {
    /// Connects, before `deadline`.
    pub(super) fn connect(
        address: SocketAddr,
        deadline: Instant,
        silence: Duration,
        wake: &Wake,
    ) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // What follows only makes a connection better; none of it is worth doing without one.
        let _ = set_options(&socket, silence);
        match connect(&socket, &address) {
            Ok(()) => {}
            Err(Errno::INPROGRESS | Errno::INTR) => {
                wait(&socket, PollFlags::OUT, deadline, wake, || Ok(()))?;
                sockopt::socket_error(&socket)??;
            }
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        Ok(Self { stream, wake: wake.clone(), silence, deadline: Some(deadline) })
    }

    /// The bare socket, non-blocking and without limits.
    #[cfg(feature = "dbus")]
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sets the end of what is done next.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Waits until the socket is ready, and says why it does not become so.
    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        let quiet = Instant::now() + self.silence;
        let until = self.deadline.map_or(quiet, |deadline| deadline.min(quiet));
        let local = self.stream.local_addr().ok().map(|address| address.ip());
        let mut looked = Instant::now();
        let check = || {
            if looked.elapsed() >= ADDRESS_LOOK {
                looked = Instant::now();
                if let Some(address) = local.filter(|address| !is_of_this_device(*address)) {
                    let problem = format!("the device no longer has the address {address}");
                    return Err(io::Error::new(ErrorKind::AddrNotAvailable, problem));
                }
            }
            Ok(())
        };
        wait(&self.stream, flags, until, &self.wake, check).map_err(|error| match error.kind() {
            ErrorKind::TimedOut if until == quiet => {
                let problem = format!("nothing came for {} s", self.silence.as_secs_f32());
                io::Error::new(ErrorKind::TimedOut, problem)
            }
            _ => error,
        })
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(too_late());
        }
        loop {
            match (&self.stream).read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::IN)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.stream).write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::OUT)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the kernel notice dead peers, and send small requests at once.
fn set_options(socket: &OwnedFd, silence: Duration) -> rustix::io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    let interval = KEEPALIVE.min(silence).max(Duration::from_secs(1));
    sockopt::set_tcp_keepidle(socket, interval)?;
    sockopt::set_tcp_keepintvl(socket, interval)?;
    let millis = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, millis)
}

/// Waits in short steps; `check` may end it.
fn wait(
    fd: impl AsFd,
    flags: PollFlags,
    until: Instant,
    wake: &Wake,
    mut check: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    loop {
        wake.check().map_err(io::Error::other)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(too_late());
        }
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.min(left).subsec_nanos().max(1_000_000)),
        };
        match poll(&mut [PollFd::new(&fd, flags)], Some(&step)) {
            Ok(0) | Err(Errno::INTR) => check()?,
            // Errors show in the read or write that follows.
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it took too long")
}

/// Only an address of one's own can be bound.
fn is_of_this_device(address: IpAddr) -> bool {
    let bound = UdpSocket::bind((address, 0));
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

    use super::*;
    use crate::wake::Stopped;

    const LONG: Duration = Duration::from_mins(10);

    fn connected(silence: Duration, wake: &Wake) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::connect(address, Instant::now() + LONG, silence, wake).unwrap();
        (socket, listener.accept().unwrap().0)
    }

    #[test]
    fn a_silent_connection_is_given_up() {
        let (mut socket, _peer) = connected(Duration::from_millis(50), &Wake::default());
        let error = socket.read(&mut [0]).unwrap_err();
        assert_eq!(error.to_string(), "nothing came for 0.05 s");
    }

    #[test]
    fn a_deadline_holds_although_bytes_come() {
        let (mut socket, mut peer) = connected(LONG, &Wake::default());
        socket.set_deadline(Some(Instant::now() + Duration::from_millis(100)));
        let flood = thread::spawn(move || while peer.write_all(&[0; 1024]).is_ok() {});
        let error = loop {
            if let Err(error) = socket.read(&mut [0; 1024]) {
                break error;
            }
        };
        drop(socket);
        flood.join().unwrap();
        assert_eq!(error.to_string(), "it took too long");
    }

    #[test]
    fn a_request_to_stop_ends_a_read_and_a_write() {
        let wake = Wake::default();
        let (mut socket, _peer) = connected(LONG, &wake);
        let stopping = thread::spawn({
            let wake = wake.clone();
            move || wake.stop()
        });
        assert_eq!(socket.read(&mut [0]).unwrap_err().to_string(), Stopped.to_string());
        let written = socket.write_all(&vec![0; 64 << 20]);
        assert_eq!(written.unwrap_err().to_string(), Stopped.to_string());
        stopping.join().unwrap();
    }

    #[test]
    fn nobody_listening_is_an_error_at_once() {
        // Bound and not listening, so that nobody else gets the port meanwhile.
        let port = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&port, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = getsockname(&port).unwrap().try_into().unwrap();
        let outcome = Socket::connect(address, Instant::now() + LONG, LONG, &Wake::default());
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn foreign_addresses_are_told_from_own_ones() {
        assert!(is_of_this_device([127, 0, 0, 1].into()));
        // Reserved for documentation.
        assert!(!is_of_this_device([192, 0, 2, 1].into()));
    }
}
