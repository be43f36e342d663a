//! Calls between services, over one erased transport.
//!
//! An [`Rpc`] is what a generated client is built on:
//! `DeploymentsServiceClient::new(rpc)`. It is either a pool of connections to one or more
//! replicas in other processes ([`connect`]) or the routes of this process ([`in_process`],
//! [`Mesh`]). Deadline, retries, trace context and metrics are added on this side, so that both
//! behave alike:
//!
//! - Every call has a deadline: ten seconds, or what [`within`] says. For a stream it counts
//!   until the answer begins.
//! - A unary call marked [`idempotent`] is tried again, with jitter and within a budget, when
//!   it met `UNAVAILABLE`. A call that never left this process is always sent to the next
//!   replica, marked or not.

mod connection;
mod local;
mod outbound;
mod pool;
mod retry;

use std::{convert::Infallible, time::Duration};

use rota_types::Caller;
use tonic::{IntoRequest, Request, body::Body, metadata::MetadataValue};
use tower::util::BoxCloneSyncService;

pub(crate) use self::local::InProcess;
pub use self::{
    local::{Mesh, in_process},
    pool::{ConnectError, connect, connect_insecure},
};

/// The transport that generated clients are built on. It always answers: what goes wrong on
/// the way is an answer with a status, too.
pub type Rpc = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// Any error of the transport.
type StdError = Box<dyn std::error::Error + Send + Sync>;

/// How long a call may take that says nothing else.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// A request that states who calls.
pub fn with_caller<T>(message: impl IntoRequest<T>, caller: &Caller) -> Request<T> {
    let mut request = message.into_request();
    let entry = MetadataValue::try_from(caller.encode()).expect("base64url is ASCII");
    request.metadata_mut().insert(Caller::METADATA_KEY, entry);
    request
}

/// Marks a unary call as safe to repeat. Its answer is held in memory as a whole before it is
/// handed on, so streams must not be marked.
pub fn idempotent<T>(message: impl IntoRequest<T>) -> Request<T> {
    let mut request = message.into_request();
    request.extensions_mut().insert(Idempotent);
    request
}

/// Gives a call `deadline` instead of [`DEFAULT_DEADLINE`]: an upload, whose answer comes when
/// the last byte has been taken, or a change of very many devices.
pub fn within<T>(deadline: Duration, message: impl IntoRequest<T>) -> Request<T> {
    let mut request = message.into_request();
    request.set_timeout(deadline);
    request
}

/// The mark that [`idempotent`] leaves.
#[derive(Debug, Clone, Copy)]
struct Idempotent;
