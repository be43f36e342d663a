//! The body of every error answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What went wrong, and the id under which the server's log knows the request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Error {
    /// One sentence for people.
    #[serde(default)]
    pub error: String,
    /// Facts for programs: `conflict` when an Artifact collides with stored ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// The deployments that keep a release from being deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_deployments: Vec<String>,
    /// The value of the header `X-MEN-RequestID`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}
