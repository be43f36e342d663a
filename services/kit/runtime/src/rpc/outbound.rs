//! What every call gets on its way out: deadline, trace context, retries, metrics.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response, request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tonic::{Code, Status, body::Body};

use super::{
    DEFAULT_DEADLINE, Idempotent, StdError,
    local::Local,
    pool::Pool,
    retry::{self, Budget},
};
use crate::{metrics, server::timeout, trace};

/// The longest answer that is held in memory until its end: the largest message that a client
/// of ours decodes, the gateway's 64 MiB, and its frame.
const MAX_HELD_BYTES: usize = (64 << 20) + 5;

/// Where calls go.
#[derive(Clone)]
pub(super) enum Transport {
    Local(Local),
    Remote(Arc<Pool>),
}

impl Transport {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, StdError> {
        match self {
            Self::Local(local) => local.call(request).await,
            Self::Remote(pool) => pool.call(request).await,
        }
    }
}

/// A transport with everything that belongs around it.
#[derive(Clone)]
pub(super) struct Outbound {
    service: &'static str,
    transport: Transport,
    budget: Arc<Budget>,
}

impl Outbound {
    pub(super) fn new(service: &'static str, transport: Transport) -> Self {
        Self { service, transport, budget: Arc::new(Budget::new()) }
    }

    async fn run(self, mut request: Request<Body>) -> Response<Body> {
        let started = Instant::now();
        let method = request.uri().path().to_owned();
        let deadline = deadline(request.headers_mut());
        trace::outgoing(request.headers_mut());
        self.budget.deposit();
        let answer = match tokio::time::timeout(deadline, self.attempts(request, &method)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(service = self.service, method, error, "call broke off");
                Status::unavailable(format!("the call to {} broke off", self.service)).into_http()
            }
            Err(_) => Status::deadline_exceeded("the answer did not come in time").into_http(),
        };
        metrics::call(self.service, method, head_code(answer.headers()), started.elapsed());
        answer
    }

    async fn attempts(
        &self,
        request: Request<Body>,
        method: &str,
    ) -> Result<Response<Body>, StdError> {
        if request.extensions().get::<Idempotent>().is_none() {
            return self.transport.call(request).await;
        }
        let (parts, body) = request.into_parts();
        // A unary request is one frame that lies in memory already.
        let body = body.collect().await?.to_bytes();
        let mut attempt = 1;
        loop {
            let answer = self.attempt(&parts, body.clone()).await;
            if attempt == retry::ATTEMPTS || !worth_repeating(&answer) || !self.budget.withdraw() {
                return answer;
            }
            tracing::debug!(service = self.service, method, attempt, "call met unavailable; again");
            metrics::retry(self.service, method);
            tokio::time::sleep(retry::pause(attempt)).await;
            attempt += 1;
        }
    }

    /// One try, up to the last byte of the answer: a replica that dies between its head and
    /// its end has not answered. What is longer than any client would take is not held.
    async fn attempt(
        &self,
        parts: &request::Parts,
        body: Bytes,
    ) -> Result<Response<Body>, StdError> {
        let request = Request::from_parts(parts.clone(), Body::new(Full::new(body)));
        let (head, body) = self.transport.call(request).await?.into_parts();
        let body = match Limited::new(body, MAX_HELD_BYTES).collect().await {
            Ok(body) => body,
            Err(error) if error.is::<LengthLimitError>() => {
                return Ok(Status::out_of_range("the answer is too large").into_http());
            }
            Err(error) => return Err(error),
        };
        let trailers = body.trailers().cloned();
        let body = Full::new(body.to_bytes()).with_trailers(std::future::ready(trailers.map(Ok)));
        Ok(Response::from_parts(head, Body::new(body)))
    }
}

/// Whether the answer says that another try may succeed.
fn worth_repeating(answer: &Result<Response<Body>, StdError>) -> bool {
    match answer {
        Ok(response) => head_code(response.headers()) == Code::Unavailable,
        // An answer that broke off: the connection or the other process is gone.
        Err(_) => true,
    }
}

/// The status of an answer without a body, which gRPC puts into the head.
fn head_code(headers: &HeaderMap) -> Code {
    headers.get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// The deadline that a call came with, or else the default, which is then written down for the
/// other side.
fn deadline(headers: &mut HeaderMap) -> Duration {
    if let Some(deadline) = timeout::read(headers) {
        return deadline;
    }
    let milliseconds = format!("{}m", DEFAULT_DEADLINE.as_millis());
    let value = HeaderValue::try_from(milliseconds).expect("digits and a letter");
    headers.insert(timeout::HEADER, value);
    DEFAULT_DEADLINE
}

impl tower::Service<Request<Body>> for Outbound {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.clone().run(request).map(Ok).boxed()
    }
}
