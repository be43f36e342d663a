//! What inventory does, by resource.

mod attributes;
mod devices;
mod groups;
mod provisioning;
mod search;
mod targets;

pub use groups::Members;
pub use search::{Devices, FilterAttribute};
pub use targets::{TargetReader, Targets};
