//! What devices call: `/api/devices`.

pub(crate) mod authentication;
pub(crate) mod deployments;
pub(crate) mod downloads;
pub(crate) mod inventory;
mod stall;
