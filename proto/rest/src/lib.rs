//! The JSON that devices and operators exchange with the gateway, word for word.
//!
//! These types hold the wire's names and nothing else: no rule, no conversion. The gateway
//! turns them into the services' words; the device client, `rotactl` and the simulator read
//! and write them directly. Bodies of requests have a default for every member, because
//! Mender's servers take an absent one for an empty one and refuse it with words of their own.
//!
//! [`device`] is what devices say; everything else is the management API, one module for each
//! resource. Times are RFC 3339 in UTC.

pub mod artifacts;
pub mod control_maps;
pub mod deployments;
pub mod device;
pub mod devices;
mod error;
pub mod inventory;
pub mod releases;
pub mod tenants;
pub mod users;

pub use error::Error;
