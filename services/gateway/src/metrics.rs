//! The names that the gateway records.

use std::time::Duration;

/// Seconds until an answer's head was ready, by route, method and status; its count is the
/// requests.
const REQUEST_SECONDS: &str = "rota_gateway_request_duration_seconds";
/// Requests that were told to come again because too many were under way.
const SHED: &str = "rota_gateway_shed_requests_total";
/// Requests that were refused because their address asks too often, by limit.
const LIMITED: &str = "rota_gateway_limited_requests_total";
/// Requests whose token could not be judged, by the kind of token.
const UNDECIDED: &str = "rota_gateway_undecided_tokens_total";
/// Whether all is known that tokens are judged by, by the kind of token.
const TRUST_FRESH: &str = "rota_gateway_trust_fresh";

pub(crate) fn request(route: String, method: &str, status: u16, took: Duration) {
    let method = method_label(method);
    metrics::histogram!(
        REQUEST_SECONDS,
        "route" => route, "method" => method, "status" => status_label(status)
    )
    .record(took);
}

pub(crate) fn shed() {
    metrics::counter!(SHED).increment(1);
}

pub(crate) fn limited(limit: &'static str) {
    metrics::counter!(LIMITED, "limit" => limit).increment(1);
}

pub(crate) fn undecided(kind: &'static str) {
    metrics::counter!(UNDECIDED, "kind" => kind).increment(1);
}

pub(crate) fn trust_fresh(kind: &'static str, fresh: bool) {
    metrics::gauge!(TRUST_FRESH, "kind" => kind).set(if fresh { 1.0 } else { 0.0 });
}

/// A closed set: strangers choose methods.
fn method_label(method: &str) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == method).unwrap_or("other")
}

fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        204 => "204",
        401 => "401",
        409 => "409",
        429 => "429",
        503 => "503",
        100..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    }
}
