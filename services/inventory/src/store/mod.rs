//! Inventory's tables: devices, the search index over them, and the counts.
//!
//! Architecture invariant: `devices`, `terms` and `counts` change together, in one transaction
//! that holds the device's row; what is in the two latter follows from the former. Every
//! transaction locks devices in the order of their ids and then counts in the order of their
//! items, so that none waits in a circle.

pub(crate) mod counts;
pub(crate) mod devices;
mod document;
pub(crate) mod groups;
mod index;
mod page;
pub(crate) mod search;
mod sql;
pub(crate) mod targets;
