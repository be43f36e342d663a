//! The public JSON on one side, the services' words on the other, and Mender's quirks in
//! between. Nothing here does anything but translate.

pub(crate) mod artifacts;
pub(crate) mod control_maps;
pub(crate) mod deployments;
pub(crate) mod device;
pub(crate) mod devices;
pub(crate) mod inventory;
pub(crate) mod releases;
pub(crate) mod search;
mod time;
pub(crate) mod users;
mod values;

use serde_json::{Map, Value};

use crate::error::Problem;

/// A service answered with something that has no place in the API: a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl From<Malformed> for Problem {
    fn from(Malformed(what): Malformed) -> Self {
        tracing::error!(what, "a service's answer cannot be read");
        Self::internal()
    }
}

/// A JSON object that travels as text.
fn object(text: &str, what: &'static str) -> Result<Map<String, Value>, Malformed> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|_| Malformed(what))
}
