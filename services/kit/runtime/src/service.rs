//! What a service shows to whoever runs it.

use tonic::service::Routes;

use crate::{Check, Tasks};

/// A service: gRPC routes, background tasks, and what must work for it to be ready.
///
/// It is run by [`crate::run()`] in a process of its own, or by `rota-server` beside all others.
pub trait Service: Send + Sync + 'static {
    /// The service's name: `deployments`. Names its metrics, spans and certificates.
    const NAME: &'static str;

    /// Its gRPC services. Callers are checked before a request reaches them: a handler asks
    /// [`crate::caller()`] who it is.
    fn routes(&self) -> Routes;

    /// Starts its background tasks.
    fn tasks(&self, tasks: &Tasks) {
        let _ = tasks;
    }

    /// What must work for the service to take requests: its database, its bus.
    fn checks(&self) -> Vec<Check> {
        Vec::new()
    }
}
