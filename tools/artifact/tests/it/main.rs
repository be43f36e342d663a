//! Tests over the public face of the crate, the command, and other people's tools.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the message")]

mod command;
mod corpus;
mod documents;
mod forge;
mod hostile;
mod interop;
mod keys;
mod lenient;
mod limits;
mod mutations;
mod payloads;
mod properties;
mod reading;
mod signatures;
mod tool;
mod writing;
