//! Whole stories over public addresses only: a platform started as a stranger would start it,
//! an operator with a token, and devices that are real processes in folders of their own.
//!
//! Nothing here looks inside: what a test needs to know it asks the management API, reads from
//! a device's disk, or reads from what a program printed.

pub mod artifact;
pub mod device;
pub mod operator;
pub mod platform;
pub mod process;
pub mod programs;
pub mod stage;
pub mod wait;
