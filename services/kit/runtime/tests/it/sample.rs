//! A service that does what the request's text says. It speaks the health protocol, whose
//! client and server come ready-made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream, stream::BoxStream};
use rota_runtime::{Rpc, caller, to_status, traceparent, with_caller};
use rota_types::{Caller, Coded, ErrorCode, TenantId};
use tonic::{Request, Response, Status, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

/// The service, with what it has seen.
#[derive(Clone, Default)]
pub(crate) struct Sample {
    /// Calls that have reached it.
    pub(crate) calls: Arc<AtomicU32>,
    /// Calls that it still answers with `UNAVAILABLE`.
    pub(crate) busy: Arc<AtomicU32>,
    /// Lets `wait` go on.
    pub(crate) gate: Arc<tokio::sync::Notify>,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no such thing")]
struct Missing;

impl Coded for Missing {
    fn code(&self) -> ErrorCode {
        ErrorCode::NotFound
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![("retry_after_seconds", "3".to_owned())]
    }
}

fn answer(status: i32) -> Response<HealthCheckResponse> {
    Response::new(HealthCheckResponse { status })
}

#[tonic::async_trait]
impl Health for Sample {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let less = |left: u32| left.checked_sub(1);
        if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Status::unavailable("busy"));
        }
        match request.get_ref().service.as_str() {
            "ok" => Ok(answer(1)),
            "panic" => panic!("told to"),
            "missing" => Err(to_status(Missing)),
            "forever" => std::future::pending().await,
            "wait" => {
                self.gate.notified().await;
                Ok(answer(1))
            }
            "who" => Err(Status::aborted(caller(&request)?.tenant.to_string())),
            "trace" => Err(Status::aborted(traceparent().unwrap_or_default())),
            "deadline" => Err(Status::aborted(
                request.metadata().get("grpc-timeout").unwrap().to_str().unwrap(),
            )),
            other => Err(Status::unimplemented(other)),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Three answers, then an error.
    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let answers = (0..3).map(|status| Ok(HealthCheckResponse { status }));
        Ok(Response::new(stream::iter(answers.chain([Err(to_status(Missing))])).boxed()))
    }
}

impl Sample {
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(HealthServer::new(self.clone()))
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

pub(crate) fn client(rpc: &Rpc) -> HealthClient<Rpc> {
    HealthClient::new(rpc.clone())
}

/// A message that tells the service what to do.
pub(crate) fn told(what: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: what.to_owned() }
}

/// The same, on behalf of the gateway.
pub(crate) fn on_behalf(tenant: TenantId, what: &str) -> Request<HealthCheckRequest> {
    let expires = chrono::Utc::now() + Duration::from_mins(1);
    with_caller(told(what), &Caller::service("gateway", tenant, expires))
}
