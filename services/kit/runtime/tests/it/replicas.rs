//! Several replicas of a service: load is shared, and one that dies is not missed.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rota_runtime::{
    Rpc, Tasks, idempotent,
    rpc::{ConnectError, connect, connect_insecure},
    server::{self, Security},
    within,
};
use rota_stack::ReservedPort;
use tokio::sync::Notify;
use tonic::Code;

use crate::{
    certificates::Authority,
    sample::{Sample, client, told},
};

struct Replica {
    sample: Sample,
    address: SocketAddr,
    tasks: Tasks,
    /// Held when the replica has stopped: others must not answer there in its place.
    port: Arc<ReservedPort>,
}

impl Replica {
    async fn start() -> Self {
        Self::start_at(Arc::new(ReservedPort::take().unwrap())).await
    }

    async fn start_at(port: Arc<ReservedPort>) -> Self {
        let (sample, tasks) = (Sample::default(), Tasks::new());
        let security = Security::InsecureLoopback;
        let address = server::serve("sample", sample.routes(), port.address(), security, &tasks)
            .await
            .unwrap();
        Self { sample, address, tasks, port }
    }

    async fn stop(&self) {
        assert!(self.tasks.stop_within(Duration::from_secs(10)).await);
    }
}

fn rpc(replicas: &[&Replica]) -> Rpc {
    let urls: Vec<_> =
        replicas.iter().map(|replica| format!("http://{}", replica.address)).collect();
    connect_insecure("sample", &urls.join(", ")).unwrap()
}

#[tokio::test]
async fn load_is_shared() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let rpc = rpc(&[&one, &two]);
    for _ in 0..20 {
        client(&rpc).check(told("ok")).await.unwrap();
    }
    assert_eq!((one.sample.calls(), two.sample.calls()), (10, 10));
}

#[tokio::test]
async fn a_busy_replica_gets_less() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let rpc = rpc(&[&one, &two]);
    let waiting = tokio::spawn({
        let mut client = client(&rpc);
        async move { client.check(told("wait")).await }
    });
    while one.sample.calls() + two.sample.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let (busy, idle) = if one.sample.calls() == 1 { (&one, &two) } else { (&two, &one) };
    for _ in 0..10 {
        client(&rpc).check(told("ok")).await.unwrap();
    }
    assert_eq!((busy.sample.calls(), idle.sample.calls()), (1, 10));
    busy.sample.gate.notify_one();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_that_was_stopped_is_not_missed_and_found_again() {
    let (one, two) = (Replica::start().await, Replica::start().await);
    let rpc = rpc(&[&one, &two]);
    for _ in 0..4 {
        client(&rpc).check(told("ok")).await.unwrap();
    }
    one.stop().await;
    // Calls that are not marked as idempotent, too: none of them leaves for the one that is gone.
    for _ in 0..20 {
        client(&rpc).check(told("ok")).await.unwrap();
    }
    let again = Replica::start_at(Arc::clone(&one.port)).await;
    while again.sample.calls() == 0 {
        client(&rpc).check(told("ok")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn idempotent_calls_survive_a_connection_that_breaks_under_them() {
    let steady = Replica::start().await;
    // Takes connections and requests, and dies before any answer: what a kill -9 looks like.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let died = Arc::new(Notify::new());
            let service = service_fn({
                let died = Arc::clone(&died);
                move |_: hyper::Request<Incoming>| {
                    died.notify_one();
                    std::future::pending::<Result<hyper::Response<Body>, Infallible>>()
                }
            });
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = died.notified() => {}
            }
        }
    });
    let urls = format!("http://{address},http://{}", steady.address);
    let rpc = connect_insecure("sample", &urls).unwrap();
    for _ in 0..10 {
        client(&rpc).check(idempotent(told("ok"))).await.unwrap();
    }
    assert_eq!(steady.sample.calls(), 10);
}

#[tokio::test]
async fn when_all_are_gone_the_service_is_unavailable() {
    let one = Replica::start().await;
    let rpc = rpc(&[&one]);
    one.stop().await;
    let status = client(&rpc).check(told("ok")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "sample cannot be reached"));
}

#[tokio::test]
async fn a_call_under_way_is_finished_when_the_server_stops() {
    let one = Replica::start().await;
    let rpc = rpc(&[&one]);
    let waiting = tokio::spawn({
        let mut client = client(&rpc);
        async move { client.check(told("wait")).await }
    });
    while one.sample.calls() == 0 {
        tokio::task::yield_now().await;
    }
    one.tasks.stop();
    one.sample.gate.notify_one();
    waiting.await.unwrap().unwrap();
    one.stop().await;
}

#[test]
fn addresses_that_cannot_work_are_found_at_once() {
    for wrong in ["", " , "] {
        let error = connect_insecure("sample", wrong).err().unwrap();
        assert!(matches!(error, ConnectError::Empty { service: "sample" }));
    }
    for wrong in ["localhost", "https://a:1", "http://a", "http://a:1/path", "http://a:1,nonsense"]
    {
        let error = connect_insecure("sample", wrong).err().unwrap();
        assert!(matches!(error, ConnectError::Address { .. }), "{wrong}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_replica_that_does_not_answer() {
    let steady = Replica::start().await;
    // Takes connections into its queue and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = Authority::new();
    let tls = authority.client("gateway");
    let security = authority.security("sample", "gateway");
    let (tasks, loopback) = (Tasks::new(), ([127, 0, 0, 1], 0).into());
    let bound = server::serve("sample", steady.sample.routes(), loopback, security, &tasks).await;
    let urls = format!(
        "https://localhost:{},https://localhost:{}",
        silent.local_addr().unwrap().port(),
        bound.unwrap().port()
    );
    let rpc = connect("sample", &urls, &tls).unwrap();
    // The first calls find out; from then on it is only looked for in the background.
    for _ in 0..2 {
        client(&rpc).check(told("ok")).await.unwrap();
    }
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(1200) {
        let call = within(Duration::from_millis(500), told("ok"));
        client(&rpc).check(call).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
