//! What runs a service: settings, telemetry, lifecycle, RPC transports, health and TLS.
//!
//! A service is a library that implements [`Service`]; its `main` is one call of [`run()`].
//! Services call each other over [`Rpc`], which is either a pool of mutual-TLS
//! connections to another process ([`rpc::connect`]) or the routes of this one
//! ([`Mesh`]); the same deadlines, retries, spans, metrics and errors apply to both.
//!
//! Architecture invariant: this crate knows no service, no database and no broker.

mod admin;
mod caller;
pub mod certificate;
mod clock;
mod lifecycle;
pub mod listen;
mod metrics;
pub mod rpc;
mod run;
pub mod server;
mod service;
pub mod settings;
mod status;
mod telemetry;
pub mod tls;
mod trace;

pub use admin::{Check, Readiness};
pub use caller::{Trust, caller};
pub use clock::{Clock, FixedClock, SystemClock};
pub use lifecycle::Tasks;
pub use rpc::{Mesh, Rpc, idempotent, with_caller, within};
pub use run::{ConfigError, Env, install_crypto, run, run_program};
pub use service::Service;
pub use status::{Failure, to_status};
pub use trace::{continue_trace, traceparent};
