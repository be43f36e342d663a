//! gRPC on the server's side: what every request goes through before a handler sees it.

mod inbound;
pub(crate) mod timeout;

use std::net::SocketAddr;

use tonic::service::Routes;

use self::inbound::InboundLayer;
use crate::{
    Tasks,
    caller::Trust,
    listen::{Limits, ListenError, Listener},
    tls::{ClientCertificates, Protocols, ServerTls},
};

/// How a service is reached by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Mutual TLS; peers whose certificate carries one of the names may state who calls.
    MutualTls {
        /// The certificate and the authority that clients' certificates must come from.
        tls: ServerTls,
        /// Whose word about the caller is taken.
        trust: Trust,
    },
    /// Plain TCP, and everybody is believed. Only on a loopback address, only for tests.
    InsecureLoopback,
}

/// A service that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Plain TCP was asked for on an address that others can reach.
    #[error("{0} is not a loopback address; without TLS nothing else may be listened on")]
    NotLoopback(SocketAddr),
    /// TLS was asked for, but not of the clients.
    #[error("services are served only to clients with certificates")]
    NoClientCertificates,
    /// The address cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Serves a service's routes on `address` until the tasks stop; gives the bound address.
pub async fn serve(
    service: &'static str,
    routes: Routes,
    address: SocketAddr,
    security: Security,
    tasks: &Tasks,
) -> Result<SocketAddr, ServeError> {
    let (tls, trust) = match security {
        Security::InsecureLoopback if !address.ip().is_loopback() => {
            return Err(ServeError::NotLoopback(address));
        }
        Security::InsecureLoopback => (None, Trust::Everybody),
        Security::MutualTls { tls, .. }
            if !matches!(tls.clients, ClientCertificates::Required(_)) =>
        {
            return Err(ServeError::NoClientCertificates);
        }
        Security::MutualTls { tls, trust } => (Some(tls), trust),
    };
    let limits = Limits { connections: 1_000, streams: 2_000, ..Limits::default() };
    let listener = Listener::bind(service, address, tls, Protocols::Grpc, limits).await?;
    let bound = listener.local_addr().map_err(|source| ListenError::Bind { address, source })?;
    let routes = guard(service, routes, trust).prepare();
    listener.serve(routes.into_axum_router(), tasks);
    Ok(bound)
}

/// Puts around a service's routes what every request goes through: the caller is checked, the
/// trace continued, the deadline kept, a panic caught, the outcome counted.
pub(crate) fn guard(service: &'static str, routes: Routes, trust: Trust) -> Routes {
    Routes::from(routes.into_axum_router().layer(InboundLayer::new(service, trust)))
}
