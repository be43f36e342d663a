//! Downloads through signed links: whole, in parts, and only the head.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    body::Body,
    http::{Method, Request},
};
use http_body_util::BodyExt;
use rota_proto::deployments::v1::{
    DownloadHead, DownloadRequest, DownloadResponse, download_response::Part,
};
use rota_types::{Actor, ErrorCode};
use uuid::Uuid;

use crate::door::{Answer, Door, until};

const DOWNLOAD: &str = "rota.deployments.v1.ArtifactService/Download";
const PATH: &str = "/api/devices/v1/deployments/download/artifacts/a";

fn head() -> DownloadHead {
    DownloadHead {
        total_size: 10,
        etag: "\"e\"".into(),
        file_name: "release 1.mender".into(),
        first: 0,
        length: 10,
        partial: false,
        unsatisfiable: false,
        not_modified: false,
    }
}

fn parts(head: DownloadHead, chunks: &[&[u8]]) -> Vec<DownloadResponse> {
    let head = DownloadResponse { part: Some(Part::Head(head)) };
    let chunk = |chunk: &&[u8]| DownloadResponse { part: Some(Part::Chunk(chunk.to_vec())) };
    [head].into_iter().chain(chunks.iter().map(chunk)).collect()
}

async fn get(door: &Door, headers: &[(&str, &str)]) -> Answer {
    let request = Request::get(format!("{PATH}?expires=1&signature=a%2Fb"));
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    door.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_link_gives_the_whole_artifact_with_all_its_headers() {
    let door = Door::open().await;
    door.deployments.streams(DOWNLOAD, &parts(head(), &[b"01234", b"56789"]));
    let answer = get(&door, &[("accept-encoding", "gzip")]).await.expect(200);
    assert_eq!(answer.text(), "0123456789");
    for (name, value) in [
        ("content-type", "application/vnd.mender-artifact"),
        ("content-length", "10"),
        ("etag", "\"e\""),
        ("accept-ranges", "bytes"),
        ("content-disposition", "attachment; filename=\"release 1.mender\""),
        ("content-encoding", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let asked = door.deployments.last(DOWNLOAD);
    assert_eq!(asked.caller.actor, Actor::Anonymous);
    let asked: DownloadRequest = asked.one();
    assert_eq!((asked.path.as_str(), asked.query.as_str()), (PATH, "expires=1&signature=a%2Fb"));
    assert_eq!((asked.range, asked.head_only), (None, false));
}

#[tokio::test]
async fn a_range_is_206_and_one_that_lies_outside_416() {
    let door = Door::open().await;
    let part = DownloadHead { first: 4, length: 6, partial: true, ..head() };
    door.deployments.streams(DOWNLOAD, &parts(part, &[b"456789"]));
    let answer = get(&door, &[("range", "bytes=4-"), ("if-range", "\"e\"")]).await.expect(206);
    assert_eq!(answer.text(), "456789");
    assert_eq!(answer.header("content-range"), "bytes 4-9/10");
    assert_eq!(answer.header("content-length"), "6");
    let asked: DownloadRequest = door.deployments.last(DOWNLOAD).one();
    assert_eq!(asked.range.as_deref(), Some("bytes=4-"));
    assert_eq!(asked.if_range.as_deref(), Some("\"e\""));

    let outside = DownloadHead { length: 0, unsatisfiable: true, ..head() };
    door.deployments.streams(DOWNLOAD, &parts(outside, &[]));
    let answer = get(&door, &[("range", "bytes=10-")]).await.expect(416);
    assert_eq!(answer.header("content-range"), "bytes */10");
}

#[tokio::test]
async fn what_a_client_has_already_is_304_with_its_tag() {
    let door = Door::open().await;
    let known = DownloadHead { length: 0, not_modified: true, ..head() };
    door.deployments.streams(DOWNLOAD, &parts(known, &[]));
    let conditions = [("if-none-match", "\"a\", W/\"e\""), ("if-none-match", "\"c\"")];
    let answer = get(&door, &conditions).await.expect(304);
    assert_eq!((answer.header("etag"), answer.body.len()), ("\"e\"", 0));
    assert_eq!((answer.header("content-type"), answer.header("content-range")), ("", ""));
    let asked: DownloadRequest = door.deployments.last(DOWNLOAD).one();
    assert_eq!(asked.if_none_match.as_deref(), Some("\"a\", W/\"e\", \"c\""));
}

#[tokio::test]
async fn head_asks_for_the_head_alone() {
    let door = Door::open().await;
    door.deployments.streams(DOWNLOAD, &parts(head(), &[]));
    let request = Request::builder().method(Method::HEAD).uri(PATH).body(Body::empty()).unwrap();
    let answer = door.send(request).await.expect(200);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("content-length"), "10");
    let asked: DownloadRequest = door.deployments.last(DOWNLOAD).one();
    assert!(asked.head_only);
}

#[tokio::test]
async fn a_link_that_permits_nothing_gets_the_answer_of_deployments() {
    let door = Door::open().await;
    for (code, status) in
        [(ErrorCode::Invalid, 400), (ErrorCode::Forbidden, 403), (ErrorCode::NotFound, 404)]
    {
        door.deployments.fails(DOWNLOAD, code, "no");
        assert_eq!(get(&door, &[]).await.expect(status).error(), "no");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_breaks_off_for_the_device_too() {
    let door = Door::open().await;
    let mut broken = parts(head(), &[b"0123"]);
    broken.push(DownloadResponse { part: Some(Part::Head(head())) });
    door.deployments.streams(DOWNLOAD, &broken);
    let request = Request::get(PATH).body(Body::empty()).unwrap();
    let response = door.respond("192.0.2.1:1", request).await;
    assert_eq!(response.headers()["content-length"], "10");
    assert!(response.into_body().collect().await.is_err());
}

/// A device on a slow line does not make the gateway hold what it has not taken yet.
#[tokio::test]
async fn the_device_sets_the_pace() {
    let door = Door::open().await;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    door.deployments.makes(DOWNLOAD, move || {
        let counted = Arc::clone(&counted);
        let endless = std::iter::repeat_with(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            DownloadResponse { part: Some(Part::Chunk(vec![0; 1 << 16])) }
        });
        let whole = DownloadHead { total_size: 1 << 50, length: 1 << 50, ..head() };
        parts(whole, &[]).into_iter().chain(endless)
    });
    let request = Request::get(PATH).body(Body::empty()).unwrap();
    let mut body = door.respond("192.0.2.1:1", request).await.into_body();
    for taken in 0..20 {
        let ahead = made.load(Ordering::SeqCst) - taken;
        assert!(ahead <= 4, "{ahead} chunks ahead");
        assert!(body.frame().await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn transfers_have_places_of_their_own_until_they_end() {
    let door = Door::open_with(&["--max-transfers", "1"]).await;
    door.deployments.streams(DOWNLOAD, &parts(head(), &[b"0123456789"]));
    let request = Request::get(PATH).body(Body::empty()).unwrap();
    let first = door.respond("192.0.2.1:1", request).await;
    let answer = get(&door, &[]).await.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    drop(first);
    until(async || get(&door, &[]).await.status.is_success()).await;
}

fn linked(tenant: &str) -> Request<Body> {
    Request::get(format!("{PATH}?tenant={tenant}&expires=1")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn no_address_and_no_tenant_takes_every_place() {
    let door = Door::open_with(&["--max-transfers", "4"]).await;
    door.deployments.streams(DOWNLOAD, &parts(head(), &[b"0123456789"]));
    let [ours, others] = [(); 2].map(|()| Uuid::new_v4().to_string());
    let mut unread = Vec::new();
    for status in [200, 200, 429, 429] {
        let response = door.respond("192.0.2.1:1", linked(&ours)).await;
        assert_eq!(response.status().as_u16(), status);
        unread.push(response);
    }
    assert_eq!(unread[3].headers()["retry-after"], "1");
    // From elsewhere the tenant gets one more, and another tenant the last.
    for (peer, tenant, status) in
        [("192.0.2.2:1", &ours, 200), ("192.0.2.3:1", &ours, 429), ("192.0.2.3:1", &others, 200)]
    {
        let response = door.respond(peer, linked(tenant)).await;
        assert_eq!(response.status().as_u16(), status, "{peer}");
        unread.push(response);
    }
    drop(unread);
    until(async || door.send(linked(&ours)).await.status.is_success()).await;
}
