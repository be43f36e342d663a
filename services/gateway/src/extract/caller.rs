//! Who asks, as the services are told.

use axum::{extract::FromRequestParts, http::request::Parts};
use rota_runtime::{idempotent, with_caller};
use rota_types::Caller;

use crate::error::Problem;

/// The caller that [`crate::access`] found behind the request's token, or nobody in
/// particular on routes that need none.
///
/// A handler that takes one cannot be reached past the guard of its group in
/// [`crate::router`].
#[derive(Debug, Clone)]
pub(crate) struct Who(pub(crate) Caller);

impl Who {
    /// A request to a service on this caller's behalf.
    pub(crate) fn asks<T>(&self, message: T) -> tonic::Request<T> {
        with_caller(tonic::Request::new(message), &self.0)
    }

    /// [`Who::asks`] for calls that may be repeated: they change nothing.
    pub(crate) fn reads<T>(&self, message: T) -> tonic::Request<T> {
        idempotent(self.asks(message))
    }
}

impl<S: Sync> FromRequestParts<S> for Who {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.remove().ok_or_else(|| {
            tracing::error!(path = parts.uri.path(), "a route that needs a caller has no guard");
            Problem::internal()
        })
    }
}
