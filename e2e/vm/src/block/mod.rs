//! The disk that loses what was not flushed, behind a small network block server.
//!
//! Killing QEMU is no power cut: what the guest wrote sits in the host's page cache and survives.
//! So each machine's disk is served from memory over the NBD protocol. Writes are kept in order
//! until the guest flushes; at a cut a random part of what it had not flushed is dropped, sector
//! by sector, and the rest becomes what the next start finds.

mod disk;
mod nbd;
mod server;

pub(crate) use disk::{Fresh, Loss, SECTOR_BYTES};
pub(crate) use server::BlockServer;
