//! What the service counts, by name.

/// Polls of devices, by outcome: `idle` (no query), `nothing`, `install`, `conflict`.
const POLLS: &str = "rota_deployments_polls_total";
/// Bytes of Artifacts that were taken in.
const UPLOADED: &str = "rota_deployments_uploaded_bytes_total";
/// Failures of durable jobs, each of which comes again.
const JOB_FAILURES: &str = "rota_deployments_job_failures_total";

pub(crate) fn poll(outcome: &'static str) {
    metrics::counter!(POLLS, "outcome" => outcome).increment(1);
}

pub(crate) fn uploaded(bytes: u64) {
    metrics::counter!(UPLOADED).increment(bytes);
}

pub(crate) fn job_failed() {
    metrics::counter!(JOB_FAILURES).increment(1);
}
