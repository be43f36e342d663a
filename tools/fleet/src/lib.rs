//! Devices by the thousand: what a simulated device says, and how it connects.
//!
//! The simulator (`rota-fleet`) and the measurements (`rota-bench`) are built from these. A
//! simulated device speaks the device API as a real one does, with a key and a token of its
//! own; it installs nothing.

pub mod connection;
pub mod device;
pub mod operator;
