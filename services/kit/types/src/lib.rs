//! Ids, the caller, error codes and pages: the words that every service shares.
//!
//! This crate knows nobody: no runtime, no database, no transport. What stands here is
//! needed by at least two services, and is no service's business.

mod caller;
mod error;
pub mod events;
mod ids;
mod page;

pub use caller::{Actor, Caller, CallerDecodeError, Permission};
pub use error::{Coded, ErrorCode};
pub use ids::{
    ArtifactId, AuthSetId, DeploymentId, DeviceId, EventId, JobId, ParseIdError, SessionId,
    TenantId, TokenId, UserId,
};
pub use page::{InvalidPage, MAX_PER_PAGE, Page};
