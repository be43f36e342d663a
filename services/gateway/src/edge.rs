//! What surrounds every request: its id, its span, its place among the requests under way, and
//! the body of its error.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::{address::ClientAddress, app::App, error::Problem, leftover::Leftover, metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-men-requestid");

/// The longest request id that is taken over, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// What is known of a request when it arrives.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// From the header `X-MEN-RequestID`, or minted.
    pub(crate) request_id: String,
    /// Where it comes from; absent within this process.
    pub(crate) address: Option<ClientAddress>,
}

impl Arrival {
    /// What [`edge`] found. Every request passes it.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

/// The outermost layer of every route and of the fallbacks.
pub(crate) async fn edge(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route =
        request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let arrival = Arrival {
        request_id: request_id(request.headers()),
        address: ClientAddress::find(
            request.extensions(),
            request.headers(),
            &app.config.trusted_proxies,
        ),
    };
    let span = tracing::info_span!(
        "request",
        request_id = arrival.request_id,
        method = method.as_str(),
        route,
        tenant = tracing::field::Empty,
    );
    let id = arrival.request_id.clone();
    request.extensions_mut().insert(arrival);
    let (request, leftover) = Leftover::of(request);
    let answer = async {
        let response = answer(&app, request, next).await;
        let took = started.elapsed();
        tracing::debug!(status = response.status().as_u16(), ?took, "answered");
        metrics::request(route.clone(), method.as_str(), response.status().as_u16(), took);
        response
    };
    let response = finish(answer.instrument(span.clone()).await, &id);
    leftover.discard();
    response
}

async fn answer(app: &App, request: Request, next: Next) -> Response {
    use axum::response::IntoResponse;

    let Ok(_place) = app.places.try_acquire() else {
        metrics::shed();
        return Problem::unavailable("too many requests are under way").into_response();
    };
    // A bug in one handler is the failure of one request.
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        tracing::error!("a handler panicked");
        Problem::internal().into_response()
    })
}

/// Writes the body of an error, and the id of the request.
fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let (parts, _) = response.into_parts();
        response = problem.render(request_id);
        for (name, value) in parts.headers {
            if let Some(name) = name
                && name != header::CONTENT_TYPE
                && name != header::CONTENT_LENGTH
            {
                response.headers_mut().append(name, value);
            }
        }
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The id that the client chose, if it is one that can be written anywhere; or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let chosen = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let usable = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    chosen.filter(usable).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
}
