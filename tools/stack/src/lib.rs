//! Private back-ends for trials, tests and benches: Postgres, nats-server, an S3 server, and
//! certificates for mutual TLS.
//!
//! Each starts from the machine's own binaries, in a directory of its own, and listens where
//! nobody else can be disturbed. A server belongs to the process that started it and ends with
//! it, however that process ends: a watching shell between the two stops the server when its
//! pipe from the owner closes, which the kernel does even for a process killed with `-9`.
//! What survives that (the whole group killed) is found and stopped by the next start.

mod account;
mod binaries;
mod certificates;
mod error;
mod guard;
mod lock;
mod nats;
mod port;
mod postgres;
mod s3;

pub use certificates::{Authority, Identity};
pub use error::StackError;
pub use nats::{Nats, NatsOptions};
pub use port::ReservedPort;
pub use postgres::{Durability, Lifetime, Postgres, PostgresOptions};
pub use s3::{S3, S3Options};
