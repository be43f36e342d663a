//! The process's metrics: one Prometheus recorder, and the names this crate records.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tonic::Code;

/// Seconds a call to another service took, by method and gRPC code; its count is the calls.
pub(crate) const CALL_SECONDS: &str = "rota_runtime_call_duration_seconds";
/// Calls that were tried again, by method.
pub(crate) const CALL_RETRIES: &str = "rota_runtime_call_retries_total";
/// Seconds a handler took, by service, method and gRPC code.
pub(crate) const HANDLER_SECONDS: &str = "rota_runtime_handler_duration_seconds";
/// Connections open now, by listener.
pub(crate) const CONNECTIONS: &str = "rota_runtime_connections_open";
/// TLS handshakes that failed or took too long, by listener.
pub(crate) const HANDSHAKE_FAILURES: &str = "rota_runtime_handshake_failures_total";

/// From half a millisecond (a poll that finds nothing) to a minute (an upload's last part).
const DURATION_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];

/// The process's recorder, installed at the first call. `None` when someone else installed a
/// recorder before.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            PrometheusBuilder::new()
                .set_buckets_for_metric(
                    Matcher::Suffix("duration_seconds".to_owned()),
                    &DURATION_BUCKETS,
                )
                .ok()?
                .install_recorder()
                .ok()
        })
        .as_ref()
}

/// The gauge `name` of a listener.
pub(crate) fn gauge(name: &'static str, listener: &'static str) -> metrics::Gauge {
    metrics::gauge!(name, "listener" => listener)
}

/// The counter `name` of a listener.
pub(crate) fn counter(name: &'static str, listener: &'static str) -> metrics::Counter {
    metrics::counter!(name, "listener" => listener)
}

/// Records a call to another service.
pub(crate) fn call(service: &'static str, method: String, code: Code, took: Duration) {
    metrics::histogram!(CALL_SECONDS, "service" => service, "method" => method, "code" => name(code))
        .record(took);
}

/// Records that a call is tried again.
pub(crate) fn retry(service: &'static str, method: &str) {
    metrics::counter!(CALL_RETRIES, "service" => service, "method" => method.to_owned())
        .increment(1);
}

/// Records a request that a service of this process has answered.
pub(crate) fn handled(service: &'static str, method: String, code: Code, took: Duration) {
    metrics::histogram!(
        HANDLER_SECONDS, "service" => service, "method" => method, "code" => name(code)
    )
    .record(took);
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
