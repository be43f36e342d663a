//! The layer around a service's routes.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use rota_types::Caller;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Span, field};

use super::timeout;
use crate::{
    caller::{Trust, stated},
    metrics, trace,
};

#[derive(Clone)]
pub(super) struct InboundLayer {
    service: &'static str,
    trust: Trust,
}

impl InboundLayer {
    pub(super) fn new(service: &'static str, trust: Trust) -> Self {
        Self { service, trust }
    }
}

impl<S> Layer<S> for InboundLayer {
    type Service = Inbound<S>;

    fn layer(&self, inner: S) -> Inbound<S> {
        Inbound { service: self.service, trust: self.trust.clone(), inner }
    }
}

#[derive(Clone)]
pub(super) struct Inbound<S> {
    service: &'static str,
    trust: Trust,
    inner: S,
}

impl<S> Service<Request<Body>> for Inbound<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (service, started) = (self.service, Instant::now());
        let caller = match stated(&self.trust, request.headers(), request.extensions()) {
            Ok(caller) => caller,
            Err(status) => {
                tracing::warn!(service, reason = status.message(), "request refused");
                return std::future::ready(Ok(status.into_http())).boxed();
            }
        };
        let method = request.uri().path().to_owned();
        let span = span(service, &method, caller.as_deref());
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        let deadline = timeout::read(request.headers());
        let parent = trace::incoming(request.headers());
        // The inner service is called inside: what it does at once belongs to the span, too,
        // and may panic like the rest.
        let answer = span
            .in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(request))));
        let handling = async move {
            let answer = async {
                match answer {
                    Ok(answer) => AssertUnwindSafe(answer).catch_unwind().await,
                    Err(panic) => Err(panic),
                }
            };
            let answer = match deadline {
                Some(deadline) => match tokio::time::timeout(deadline, answer).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        Ok(Ok(Status::deadline_exceeded("the handler took too long").into_http()))
                    }
                },
                None => answer.await,
            };
            let response = match answer {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => {
                    tracing::error!("handler panicked");
                    Status::internal("internal error").into_http()
                }
            };
            metrics::handled(service, method, code(&response), started.elapsed());
            Ok(response)
        };
        trace::continue_trace(parent, span, handling).boxed()
    }
}

fn span(service: &'static str, method: &str, caller: Option<&Caller>) -> Span {
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        service,
        tenant = field::Empty,
        request_id = field::Empty,
    );
    if let Some(caller) = caller {
        span.record("tenant", field::display(caller.tenant));
        span.record("request_id", caller.request_id.as_str());
    }
    span
}

/// The status of an answer that ended with its head; others end well or say so at their end.
fn code(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}
