//! The replicas of a service in other processes: load is shared among those that can be
//! reached.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::{Status, body::Body};

use super::{
    Rpc, StdError,
    connection::{Replica, UnderWay},
    outbound::{Outbound, Transport},
};
use crate::tls::{ClientTls, TlsError};

/// Addresses or certificates that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address of the list is wrong.
    #[error("{address:?} is no address of a service: {reason}")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The list is empty.
    #[error("no address of {service} is given")]
    Empty {
        /// The service.
        service: &'static str,
    },
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A transport to the service's replicas at `addresses` (`https://host:port`, several separated
/// by commas), over mutual TLS. Connections are made when they are first needed, and kept.
pub fn connect(
    service: &'static str,
    addresses: &str,
    tls: &ClientTls,
) -> Result<Rpc, ConnectError> {
    // Files that cannot be used are found now, not at the first call.
    tls.load()?;
    pool(service, addresses, Some(tls))
}

/// The same without TLS (`http://host:port`), for tests on loopback.
pub fn connect_insecure(service: &'static str, addresses: &str) -> Result<Rpc, ConnectError> {
    pool(service, addresses, None)
}

fn pool(
    service: &'static str,
    addresses: &str,
    tls: Option<&ClientTls>,
) -> Result<Rpc, ConnectError> {
    let replicas = addresses
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty())
        .map(|address| Ok(Arc::new(Replica::new(address, tls.cloned())?)))
        .collect::<Result<Vec<_>, ConnectError>>()?;
    if replicas.is_empty() {
        return Err(ConnectError::Empty { service });
    }
    let pool = Pool { service, replicas, turn: AtomicUsize::new(0) };
    Ok(Rpc::new(Outbound::new(service, Transport::Remote(Arc::new(pool)))))
}

/// The replicas of one service.
pub(super) struct Pool {
    service: &'static str,
    replicas: Vec<Arc<Replica>>,
    turn: AtomicUsize,
}

impl Pool {
    /// Sends a request to the replica with the least load. One that did not leave this process
    /// (no connection, or one that was just closed) goes on to the next.
    pub(super) async fn call(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, StdError> {
        self.replicas.iter().for_each(Replica::look_for);
        for replica in self.order() {
            let under_way = replica.enter();
            let mut connection = match replica.connection().await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(service = self.service, error, "replica cannot be reached");
                    continue;
                }
            };
            replica.address(&mut request);
            match connection.try_send_request(request).await {
                Ok(response) => return Ok(answer(response, under_way)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        Ok(Status::unavailable(format!("{} cannot be reached", self.service)).into_http())
    }

    /// All replicas, best first, and the best once more at the end: its connection may have
    /// been closed just now, and a new one be made.
    fn order(&self) -> Vec<Arc<Replica>> {
        let mut order = self.replicas.clone();
        order.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % self.replicas.len());
        // The sort is stable: among equals it is the next one's turn.
        order.sort_by_key(|replica| (replica.is_lost(), replica.load()));
        order.push(Arc::clone(&order[0]));
        order
    }
}

/// The answer, whose body counts as load until it ends.
fn answer(response: Response<hyper::body::Incoming>, under_way: UnderWay) -> Response<Body> {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &under_way;
            frame
        }))
    })
}
