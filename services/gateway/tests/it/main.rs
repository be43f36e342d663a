//! The gateway before services that say what each test tells them to.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod artifacts;
mod authorization;
mod deployments;
mod device;
mod devices;
mod door;
mod downloads;
mod fake;
mod hostile;
mod inventory;
mod openapi;
mod releases;
mod rules;
mod trust;
mod uploads;
mod users;
mod wire;
