//! Health and metrics on a plain port of their own: `/livez`, `/readyz`, `/metrics`.

use std::{
    fmt::Write,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::{Router, extract::State, routing::get};
use futures::{FutureExt, future::BoxFuture};
use http::StatusCode;
use tokio::net::TcpListener;

use crate::{Tasks, metrics};

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How often histograms are compacted, so that they do not grow while nobody reads them.
const METRICS_UPKEEP: Duration = Duration::from_secs(10);

/// One thing that must work for a process to take requests.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

impl Check {
    /// A check named for what it looks at: `database`. `probe` gives the reason when it fails;
    /// it has two seconds.
    pub fn new<F, Fut>(name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, probe: Arc::new(move || probe().boxed()) }
    }
}

/// The checks of a process. Clones share the same list.
#[derive(Clone, Default)]
pub struct Readiness(Arc<RwLock<Vec<Check>>>);

impl Readiness {
    /// Adds checks.
    pub fn add(&self, checks: impl IntoIterator<Item = Check>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(checks);
    }

    /// Runs all checks at once; gives the name and reason of each that failed.
    pub async fn failures(&self) -> Vec<(&'static str, String)> {
        let checks = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let probes = checks.into_iter().map(|check| async move {
            match tokio::time::timeout(CHECK_TIMEOUT, (check.probe)()).await {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some((check.name, reason)),
                Err(_) => Some((check.name, "no answer within 2 s".to_owned())),
            }
        });
        futures::future::join_all(probes).await.into_iter().flatten().collect()
    }
}

#[derive(Clone)]
struct Admin {
    readiness: Readiness,
    tasks: Tasks,
}

fn router(readiness: Readiness, tasks: Tasks) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(Admin { readiness, tasks })
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, String) {
    if admin.tasks.is_stopping() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    }
    let failures = admin.readiness.failures().await;
    if failures.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let mut body = String::new();
    for (name, reason) in failures {
        // Writing to a String cannot fail.
        let _ = writeln!(body, "{name}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn render() -> String {
    metrics::recorder()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default()
}

/// Serves the admin port until stopped.
pub(crate) fn spawn(listener: TcpListener, readiness: Readiness, tasks: &Tasks) {
    if let Some(recorder) = metrics::recorder() {
        tasks.spawn_every("metrics upkeep", METRICS_UPKEEP, || async { recorder.run_upkeep() });
    }
    let stop = tasks.token();
    let router = router(readiness, tasks.clone());
    tasks.spawn("admin port", async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "admin port ended");
        }
    });
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn fetch(router: &Router, path: &str) -> (StatusCode, String) {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn not_ready_says_what_fails_while_alive() {
        let readiness = Readiness::default();
        let tasks = Tasks::new();
        let router = router(readiness.clone(), tasks.clone());
        assert_eq!(fetch(&router, "/readyz").await.0, StatusCode::OK);

        readiness.add([
            Check::new("bus", async || Ok(())),
            Check::new("database", async || Err("connection refused".to_owned())),
        ]);
        let (status, body) = fetch(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "database: connection refused\n");
        assert_eq!(fetch(&router, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_process_that_stops_is_not_ready() {
        let tasks = Tasks::new();
        let router = router(Readiness::default(), tasks.clone());
        tasks.stop();
        assert_eq!(fetch(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_fails() {
        let readiness = Readiness::default();
        readiness.add([Check::new("disk", std::future::pending::<Result<(), String>>)]);
        assert_eq!(readiness.failures().await[0].0, "disk");
    }
}
