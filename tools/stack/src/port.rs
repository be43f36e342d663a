//! A port that nobody else is given.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use socket2::{Domain, Socket, Type};

use crate::StackError;

/// A port on 127.0.0.1 for one server, which may start, end and start again on it.
///
/// A port that was only found free can be somebody else's before the server binds it, and again
/// while the server is stopped: another test's server then answers in its place. This one is
/// bound to a socket that never listens. The kernel then neither chooses the port for anybody
/// nor lets a connection leave from it, refuses connections to it, and still lets a server that
/// names it listen there, as all servers here set `SO_REUSEADDR`.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _socket: Socket,
}

impl ReservedPort {
    /// Takes a free port, until dropped.
    pub fn take() -> Result<Self, StackError> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = |source| StackError::Listen { address: any.to_string(), source };
        let socket = bound(any).map_err(listen)?;
        let local = socket.local_addr().map_err(listen)?;
        let address = local.as_socket().unwrap_or(any);
        Ok(Self { address, _socket: socket })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port.
    pub fn number(&self) -> u16 {
        self.address.port()
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn its_server_may_come_and_go() {
        let port = ReservedPort::take().unwrap();
        for _ in 0..2 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let server = TcpListener::bind(port.address()).unwrap();
            TcpStream::connect(port.address()).unwrap();
            server.accept().unwrap();
        }
    }

    #[test]
    fn nobody_else_gets_it() {
        let port = ReservedPort::take().unwrap();
        // As the kernel treats those who name no port.
        let other = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let taken = other.bind(&port.address().into()).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }
}
