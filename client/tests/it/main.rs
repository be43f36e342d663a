//! The client against a server that tests script: the session as a library, the rest as the
//! program that devices run.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[cfg(feature = "dbus")]
mod bus;
mod commands;
mod control;
mod daemon;
mod device;
mod download;
mod fake_server;
mod hostile;
mod modes;
mod mounts;
mod network;
mod owed;
mod payloads;
mod port;
mod programs;
mod read_only;
mod session;
mod setup;
mod standalone;
mod support;
mod takeover;
mod terminal;
mod tls;
#[cfg(feature = "pkcs11")]
mod token;

/// What OpenSSL writes.
fn openssl(arguments: &[&str]) -> String {
    let output = std::process::Command::new("openssl").args(arguments).output();
    let output = output.expect("openssl is installed (make setup)");
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}
