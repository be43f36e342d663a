//! Every answer that is not a success: one table from error codes to HTTP, one body.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use rota_rest as rest;
use rota_runtime::Failure;
use rota_types::{ErrorCode, InvalidPage};
use serde_json::Value;

/// The metadata entry that becomes a header of its own.
const RETRY_AFTER: &str = "retry_after_seconds";

/// An answer that says what went wrong.
///
/// As a response it has no body yet: [`crate::edge`] knows the request's id and writes it.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Box<rest::Error>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

/// The one table from error codes to HTTP.
pub(crate) fn http_status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Invalid => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::AlreadyExists | ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::Gone => StatusCode::GONE,
        ErrorCode::Precondition => StatusCode::PRECONDITION_FAILED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// An answer with this status and sentence.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let body = rest::Error { error: error.into(), ..rest::Error::default() };
        Self { status, body: Box::new(body), retry_after: None, challenge: None }
    }

    /// 400: the request breaks a rule; `error` says which.
    pub(crate) fn invalid(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 401: nobody proved to be anybody. `challenge` tells how to.
    pub(crate) fn unauthenticated(error: &str, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, error) }
    }

    /// 404 for an address that means nothing.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found")
    }

    /// 413: more than `limit` bytes.
    pub(crate) fn too_large(limit: u64) -> Self {
        let error = format!("request body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    /// 429: come again after `wait`.
    pub(crate) fn too_many(wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too many requests").after(wait)
    }

    /// 503: come again soon.
    pub(crate) fn unavailable(error: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).after(Duration::from_secs(1))
    }

    /// 403: whoever it is may not do this.
    pub(crate) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not permitted")
    }

    /// 504: the answer was not ready in time.
    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "the answer did not come in time")
            .after(Duration::from_secs(1))
    }

    /// 500: a bug, whose cause is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    /// What it says.
    #[cfg(test)]
    pub(crate) fn sentence(&self) -> &str {
        &self.body.error
    }

    /// Names the deployments that stand in the way.
    pub(crate) fn active_deployments(mut self, ids: Vec<String>) -> Self {
        self.body.active_deployments = ids;
        self
    }

    fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The whole answer to the request with this id.
    pub(crate) fn render(mut self, request_id: &str) -> Response<Body> {
        request_id.clone_into(&mut self.body.request_id);
        let mut response = axum::Json(&*self.body).into_response();
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        if let Some(challenge) = self.challenge {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let wait = failure.retry_after_seconds().map(Duration::from_secs);
        let mut problem = Self::new(http_status(failure.code), failure.message);
        problem.retry_after = match problem.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Some(wait.unwrap_or(Duration::from_secs(1))),
            _ => wait,
        };
        for (name, value) in failure.metadata {
            if name != RETRY_AFTER {
                // What is a document to a service is one to the caller too.
                let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
                problem.body.metadata.insert(name, value);
            }
        }
        problem
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        // A service that did not take our word about the caller. Told to devices, this would
        // make a whole fleet authenticate anew.
        if status.code() == tonic::Code::Unauthenticated && status.details().is_empty() {
            tracing::error!(%status, "a service refuses what the gateway states");
            return Self::unavailable("service unavailable");
        }
        Failure::from(status).into()
    }
}

impl From<crate::lenient::Error> for Problem {
    fn from(error: crate::lenient::Error) -> Self {
        Self::invalid(format!("invalid JSON: {error}"))
    }
}

impl From<InvalidPage> for Problem {
    fn from(error: InvalidPage) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use http_body_util::BodyExt;

    use super::*;

    async fn json(response: Response<Body>) -> Value {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn the_body_names_the_request_and_what_a_program_needs() {
        let failure = Failure {
            code: ErrorCode::AlreadyExists,
            message: "an Artifact of this name exists".into(),
            metadata: HashMap::from([("conflict".into(), r#"[{"name":"a"}]"#.into())]),
        };
        let response = Problem::from(failure).render("abc");
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(
            json(response).await,
            serde_json::json!({
                "error": "an Artifact of this name exists",
                "metadata": {"conflict": [{"name": "a"}]},
                "request_id": "abc",
            })
        );
    }

    #[test]
    fn whoever_is_told_to_come_again_is_told_when() {
        for code in [ErrorCode::TooMany, ErrorCode::Unavailable, ErrorCode::Timeout] {
            let failure = Failure { code, message: String::new(), metadata: HashMap::new() };
            let response = Problem::from(failure).render("");
            assert_eq!(response.headers()[header::RETRY_AFTER], "1", "{code}");
        }
        let response = Problem::too_many(Duration::from_millis(2001)).render("");
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
    }

    #[test]
    fn a_service_that_mistrusts_the_gateway_is_no_reason_to_authenticate_anew() {
        let problem = Problem::from(tonic::Status::unauthenticated("who are you"));
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn no_code_is_a_success() {
        for code in ErrorCode::ALL {
            assert!(http_status(code).as_u16() >= 400, "{code}");
        }
    }
}
