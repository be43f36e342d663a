//! The device client: asks the server for updates, installs them, and goes back when they fail.
//!
//! - [`machine`] decides what happens next. It is pure, and the only place that knows the order of
//!   an update and the way back from every failure.
//! - [`runner`] does what the machine says. Before it acts it writes to the [`journal`] where it
//!   stands; at the next start it goes on from there.
//! - Everything that the runner touches has a module of its own: [`server`] and [`keys`] towards
//!   the network, [`modules`] and [`scripts`] towards the device's own executables, [`power`],
//!   [`clock`].
//! - What needs no executable on the device is in [`payloads`]; system images among them use
//!   [`flash`] to write and [`boot`] to switch.
//! - [`takeover`] makes the first journal of a device that ran Mender's client.
//!
//! Two invariants carry the rest. The installed software and the stage of an update change in one
//! journal entry or not at all. And nothing is activated before every byte of the Artifact was
//! checked against its manifest, and the manifest against the configured keys.
//!
//! There is no asynchronous runtime: one thread runs the update, one more waits for signals, and a
//! program that is running has two that read its output. The optional features add threads of
//! their own: `dbus` those of the bus and one for each connection that it forwards, `pkcs11` the
//! one that talks to tokens.

pub mod attributes;
pub mod boot;
pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod control;
#[cfg(feature = "dbus")]
pub mod dbus;
mod der;
pub mod downgrade;
pub mod flash;
pub mod host;
pub mod identity;
pub mod inventory;
pub mod journal;
pub mod keys;
pub mod log;
pub mod machine;
pub mod modules;
mod mounts;
pub mod owed;
pub mod payloads;
pub mod power;
pub mod private_files;
pub mod process;
pub mod progress;
pub mod records;
pub mod retry;
pub mod runner;
pub mod scripts;
pub mod server;
pub mod snapshot;
pub mod takeover;
pub mod time;
pub mod wake;
