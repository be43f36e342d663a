//! The client against a server that tests script: the session as a library, the rest as the
//! program that devices run.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod commands;
mod daemon;
mod device;
mod download;
mod fake_server;
mod session;
mod tls;
