//! The only door: devices and operators speak REST over TLS here, and services speak gRPC
//! behind it.
//!
//! A request passes the `edge` (id, span, place), the guard of its group (`access`: token,
//! caller, deadline) and one handler, which translates (`convert`), asks one service, and
//! translates back. The map of all routes is `router`.
//!
//! Tokens are judged from memory (`trust`): their issuers tell the gateway their keys and what
//! they revoked over a stream. When nothing is heard, the answer is 503, never 401, which would
//! make a whole fleet authenticate anew.
//!
//! Architecture invariant: the gateway holds no database, no bus and no store, and keeps
//! nothing that a restart would lose.

mod access;
mod address;
mod app;
mod config;
mod convert;
mod device;
mod docs;
mod edge;
mod error;
mod extract;
mod fallback;
mod leftover;
mod lenient;
mod limits;
mod links;
mod management;
mod metrics;
mod router;
mod shares;
mod trust;

use std::sync::Arc;

use axum::Router;
use rota_runtime::{Check, Clock, Tasks};
use utoipa::openapi::OpenApi;

pub use crate::{
    address::{InvalidNetwork, Network},
    app::Clients,
    config::{Config, Https, InvalidPublicUrl, PublicUrl},
};
use crate::{app::App, limits::AddressLimits};

/// A gateway. Clones share the same.
#[derive(Clone)]
pub struct Gateway {
    app: App,
    router: Router,
    description: Arc<OpenApi>,
}

impl Gateway {
    /// The gateway's name in logs, metrics and certificates.
    pub const NAME: &'static str = "gateway";

    /// A gateway before these services. It takes no token before [`Gateway::tasks`] has heard
    /// from their issuers.
    pub fn new(config: Config, clients: Clients, clock: Arc<dyn Clock>) -> Self {
        let app = App::new(config, clients, clock);
        let (router, description) = router::build(&app);
        Self { app, router, description: Arc::new(description) }
    }

    /// Every route. Requests carry a [`rota_runtime::listen::Peer`], as that crate's listener
    /// adds it.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// What [`Gateway::router`] serves, as `OpenAPI` 3.1 describes it.
    pub fn description(&self) -> &OpenApi {
        &self.description
    }

    /// Starts to listen to those who issue tokens.
    pub fn tasks(&self, tasks: &Tasks) {
        self.app.trust.spawn(&self.app.clock, tasks);
        AddressLimits::spawn_upkeep(self.app.clone(), tasks);
    }

    /// What must work for the gateway to take requests.
    pub fn checks(&self) -> Vec<Check> {
        vec![self.app.trust.check()]
    }
}
