//! One behaviour suite, run in this process and over mutual TLS: both are the same to a
//! service.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::Router;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use rota_runtime::{
    Failure, Mesh, Rpc, Tasks, idempotent,
    rpc::{self, connect, connect_insecure},
    server::{self, Security, ServeError},
    within,
};
use rota_types::{ErrorCode, TenantId};
use tonic::{Code, Request};

use crate::{
    certificates::Authority,
    sample::{Sample, client, on_behalf, told},
};

/// A service and a way to call it.
pub(crate) struct Setting {
    pub(crate) sample: Sample,
    pub(crate) rpc: Rpc,
    _tasks: Tasks,
    _authority: Option<Authority>,
}

fn in_process() -> Setting {
    let sample = Sample::default();
    let rpc = rpc::in_process("sample", sample.routes());
    Setting { sample, rpc, _tasks: Tasks::new(), _authority: None }
}

async fn over_tls() -> Setting {
    over_tls_as("gateway").await
}

async fn over_tls_as(name: &str) -> Setting {
    let (authority, sample, tasks) = (Authority::new(), Sample::default(), Tasks::new());
    let security = authority.security("sample", "gateway");
    let address = ([127, 0, 0, 1], 0).into();
    let bound = server::serve("sample", sample.routes(), address, security, &tasks).await.unwrap();
    let url = format!("https://localhost:{}", bound.port());
    let rpc = connect("sample", &url, &authority.client(name)).unwrap();
    Setting { sample, rpc, _tasks: tasks, _authority: Some(authority) }
}

macro_rules! both_ways {
    ($($behaviour:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::in_process()).await;
            })+
        }
        mod tls {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(super::over_tls().await).await;
            })+
        }
    };
}

both_ways!(
    the_caller_arrives,
    without_a_caller_nobody_is_known,
    errors_keep_code_and_metadata,
    streams_arrive_with_their_errors,
    a_panic_is_an_internal_error_and_no_more,
    a_call_has_a_deadline,
    the_other_side_is_told_the_deadline,
    idempotent_calls_are_tried_again,
    other_calls_are_not,
    retries_end,
    the_trace_goes_on,
);

async fn the_caller_arrives(setting: Setting) {
    let tenant = TenantId::mint();
    let status = client(&setting.rpc).check(on_behalf(tenant, "who")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, tenant.to_string().as_str()));
}

async fn without_a_caller_nobody_is_known(setting: Setting) {
    let status = client(&setting.rpc).check(told("who")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

async fn errors_keep_code_and_metadata(setting: Setting) {
    let failure = Failure::from(client(&setting.rpc).check(told("missing")).await.unwrap_err());
    assert_eq!(failure.code, ErrorCode::NotFound);
    assert_eq!(failure.message, "there is no such thing");
    assert_eq!(failure.retry_after_seconds(), Some(3));
}

async fn streams_arrive_with_their_errors(setting: Setting) {
    let answer = client(&setting.rpc).watch(told("")).await.unwrap();
    let mut answers = answer.into_inner();
    for expected in 0..3 {
        assert_eq!(answers.try_next().await.unwrap().unwrap().status, expected);
    }
    let failure = Failure::from(answers.try_next().await.unwrap_err());
    assert_eq!(failure.code, ErrorCode::NotFound);
}

async fn a_panic_is_an_internal_error_and_no_more(setting: Setting) {
    let status = client(&setting.rpc).check(told("panic")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    assert!(client(&setting.rpc).check(told("ok")).await.is_ok());
}

async fn a_call_has_a_deadline(setting: Setting) {
    let request = within(Duration::from_millis(50), told("forever"));
    let status = client(&setting.rpc).check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

async fn the_other_side_is_told_the_deadline(setting: Setting) {
    let status = client(&setting.rpc).check(told("deadline")).await.unwrap_err();
    assert_eq!(status.message(), "10000m");
}

async fn idempotent_calls_are_tried_again(setting: Setting) {
    setting.sample.busy.store(2, Ordering::SeqCst);
    client(&setting.rpc).check(idempotent(told("ok"))).await.unwrap();
    assert_eq!(setting.sample.calls(), 3);
}

async fn other_calls_are_not(setting: Setting) {
    setting.sample.busy.store(1, Ordering::SeqCst);
    let status = client(&setting.rpc).check(told("ok")).await.unwrap_err();
    assert_eq!((status.code(), setting.sample.calls()), (Code::Unavailable, 1));
}

async fn retries_end(setting: Setting) {
    setting.sample.busy.store(u32::MAX, Ordering::SeqCst);
    let status = client(&setting.rpc).check(idempotent(told("ok"))).await.unwrap_err();
    assert_eq!((status.code(), setting.sample.calls()), (Code::Unavailable, 4));
}

async fn the_trace_goes_on(setting: Setting) {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    let call = async { client(&setting.rpc).check(told("trace")).await.unwrap_err() };
    let status =
        rota_runtime::continue_trace(Some(parent.clone()), tracing::Span::none(), call).await;
    assert_eq!(status.message(), parent);
}

#[tokio::test]
async fn a_certificate_that_is_not_named_may_call_but_not_speak_for_others() {
    let setting = over_tls_as("stranger").await;
    let status = client(&setting.rpc).check(on_behalf(TenantId::mint(), "ok")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(setting.sample.calls(), 0, "refused before any handler");
    assert!(client(&setting.rpc).check(told("ok")).await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (sample, tasks) = (Sample::default(), Tasks::new());
    let security = ours.security("sample", "gateway");
    let address = ([127, 0, 0, 1], 0).into();
    let bound = server::serve("sample", sample.routes(), address, security, &tasks).await.unwrap();
    let url = format!("https://localhost:{}", bound.port());
    let mut tls = theirs.client("gateway");
    tls.ca = ours.ca();
    let rpc = connect("sample", &url, &tls).unwrap();
    let status = client(&rpc).check(told("ok")).await.unwrap_err();
    assert_eq!((status.code(), sample.calls()), (Code::Unavailable, 0));
    // And we do not talk to a server that cannot prove its name.
    let rpc = connect("sample", &url, &theirs.client("gateway")).unwrap();
    let status = client(&rpc).check(told("ok")).await.unwrap_err();
    assert_eq!((status.code(), sample.calls()), (Code::Unavailable, 0));
}

#[tokio::test]
async fn plain_tcp_is_for_loopback_alone() {
    let tasks = Tasks::new();
    let routes = Sample::default().routes();
    let everywhere = ([0, 0, 0, 0], 0).into();
    let refused =
        server::serve("sample", routes, everywhere, Security::InsecureLoopback, &tasks).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))));

    let sample = Sample::default();
    let loopback = ([127, 0, 0, 1], 0).into();
    let security = Security::InsecureLoopback;
    let bound = server::serve("sample", sample.routes(), loopback, security, &tasks).await.unwrap();
    let rpc = connect_insecure("sample", &format!("http://{bound}")).unwrap();
    let tenant = TenantId::mint();
    let status = client(&rpc).check(on_behalf(tenant, "who")).await.unwrap_err();
    assert_eq!(status.message(), tenant.to_string());
}

#[tokio::test]
async fn services_may_call_each_other_before_they_exist() {
    let mesh = Mesh::default();
    let rpc = mesh.rpc("late");
    let status = client(&rpc).check(told("ok")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    mesh.fill("late", Sample::default().routes());
    assert!(client(&rpc).check(Request::new(told("ok"))).await.is_ok());
}

#[tokio::test]
async fn an_answer_larger_than_anybody_takes_is_not_collected() {
    static MEBIBYTE: [u8; 1 << 20] = [0; 1 << 20];
    let taken = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&taken);
    let answer = move || {
        let counted = Arc::clone(&counted);
        let pieces = stream::iter(0..256).map(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from_static(&MEBIBYTE))
        });
        let head = [("content-type", "application/grpc")];
        std::future::ready((head, axum::body::Body::from_stream(pieces)))
    };
    let rpc = rpc::in_process("sample", Router::new().fallback(answer).into());
    let mut client = client(&rpc).max_decoding_message_size(usize::MAX);
    let status = client.check(idempotent(told("much"))).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert_eq!(taken.load(Ordering::SeqCst), 65);
}
