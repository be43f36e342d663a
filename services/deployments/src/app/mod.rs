//! What the service does, one file for each resource: rules, and the transactions that hold
//! them together.

pub(crate) mod active_tenants;
pub(crate) mod artifacts;
pub(crate) mod control_maps;
pub(crate) mod deployments;
pub(crate) mod devices;
pub(crate) mod download;
pub(crate) mod ending;
pub(crate) mod link;
pub(crate) mod listing;
pub(crate) mod logs;
pub(crate) mod releases;
pub(crate) mod upload;
mod verified;

use crate::error::Error;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
