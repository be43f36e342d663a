//! The server, as a device sees it: authentication, polls, reports, inventory and downloads.

mod authority;
mod dial;
mod download;
#[cfg(feature = "dbus")]
mod forward;
mod http;
mod link;
mod patience;
mod probe;
mod proxy;
mod range;
mod session;
mod socket;
mod tls;
mod wire;

use std::time::Duration;

use rota_rest::device::{Attribute, LogMessage};
use serde_json::Value;

pub use authority::{Authority, Token};
#[cfg(feature = "dbus")]
pub use forward::Forwarder;
pub use http::HttpError;
pub use probe::probe;
pub use proxy::ProxyError;
pub use session::{Session, SessionSettings};
pub use tls::{TlsError, Trust};

use crate::{
    identity::IdentityError,
    keys::KeyError,
    machine::{Deployment, DeploymentId, Status},
    modules::Source,
    records::Software,
    wake::Stopped,
};

/// What the runner asks of the server.
pub trait Server {
    /// Asks for a deployment.
    fn poll(&mut self, software: &Software) -> Result<Option<Deployment>, ServerError>;
    /// Reports how far an update has come.
    fn report(&mut self, id: &DeploymentId, status: Status) -> Result<(), ServerError>;
    fn upload_log(&mut self, id: &DeploymentId, log: Vec<LogMessage>) -> Result<(), ServerError>;
    /// Sends the inventory, unless the server has just this.
    fn send_inventory(&mut self, inventory: Vec<Attribute>) -> Result<(), ServerError>;
    /// Opens the Artifact of a deployment; reading it survives lost connections and expired links.
    fn download(
        &mut self,
        deployment: &Deployment,
        software: &Software,
    ) -> Result<Source, ServerError>;
    /// The map that controls a deployment, as JSON: the one that came with it, the first time, and
    /// then what the server says now. `None` if it has none; `Aborted` if the deployment is over.
    fn control_map(&mut self, _id: &DeploymentId) -> Result<Option<Value>, ServerError> {
        Ok(None)
    }
    /// Forgets the token, so that the next request must get a new one.
    fn drop_token(&mut self);
}

/// A request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("no server is configured; set ServerURL in mender.conf")]
    NoServer,
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the client certificate cannot be used")]
    Tls(#[from] TlsError),
    #[error("the proxy settings in the environment cannot be used")]
    Proxy(#[from] ProxyError),
    #[error("the device cannot identify itself")]
    Identity(#[from] IdentityError),
    #[error("the device key cannot be used")]
    Key(#[from] KeyError),
    #[error("no server accepts this device: {reason}")]
    Unauthorized { reason: String },
    #[error("the server is busy (status {status})")]
    Busy { status: u16, retry_after: Option<Duration> },
    #[error("the server has aborted the deployment")]
    Aborted,
    #[error("the server no longer offers this deployment")]
    NoLongerOffered,
    #[error("the file on the server is not the one whose download began: {problem}")]
    Changed { problem: String },
    #[error("the server refuses {what} with status {status}: {message}")]
    Refused { what: &'static str, status: u16, message: String },
    #[error("the server's answer to {what} cannot be read: {problem}")]
    Malformed { what: &'static str, problem: String },
    #[error(transparent)]
    DeviceType(#[from] crate::config::DeviceTypeError),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ServerError {
    /// When to come again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::Http(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether the server wants to hear nothing more of a deployment: it has none of this id, or
    /// none any more.
    pub fn ends_deployment(&self) -> bool {
        matches!(self, Self::Aborted | Self::Refused { status: 404, .. })
    }

    /// Whether the server will never take what it was sent, as it is, or for what it is about.
    pub fn is_about_content(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 404 | 409 | 413 | 422, .. })
    }

    /// Whether the server has answered, so that it may answer another request better.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Refused { .. } | Self::Malformed { .. })
    }

    /// Whether the same request might succeed later.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Aborted | Self::Stopped(_) | Self::Refused { status: 413, .. } => false,
            Self::Http(error) => error.may_pass(),
            _ => true,
        }
    }
}
