//! The transports between services, and the listener that devices reach, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod certificates;
mod http;
mod replicas;
mod rpc;
mod sample;
