//! Addresses that mean nothing, and methods that an address does not have.

use axum::{
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};

use crate::error::Problem;

/// 404.
pub(crate) async fn not_found() -> Problem {
    Problem::not_found()
}

/// 405, or the answer to OPTIONS. The router adds `Allow` to both.
pub(crate) async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").into_response()
}
