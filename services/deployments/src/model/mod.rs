//! What the service thinks in: Artifacts, releases, deployments, and the decision.
//!
//! Architecture invariant: nothing here does I/O, waits or looks at a clock.

pub(crate) mod artifact;
pub(crate) mod conflict;
pub(crate) mod control_map;
pub(crate) mod decision;
pub(crate) mod deployment;
pub(crate) mod device_log;
pub(crate) mod entity_tag;
pub(crate) mod range;
pub(crate) mod release;
pub(crate) mod status;
