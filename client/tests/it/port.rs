//! A port that stays its server's, also while nobody listens there.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

/// A port on 127.0.0.1. Until dropped, the kernel gives it to nobody, so that no other test's
/// server answers where one has gone; connections to it are refused then.
pub(crate) struct Port {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Port {
    /// A free port, and its server.
    pub(crate) fn listen() -> (Self, TcpListener) {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        // Lets another socket listen where this one, which never listens, is bound.
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
        (Self { address, _socket: socket }, TcpListener::bind(address).unwrap())
    }

    /// `localhost:port`.
    pub(crate) fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }
}
