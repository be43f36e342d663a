//! What goes over the socket, byte for byte.

use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Request, StatusCode, Version},
};
use http_body_util::BodyExt;
use rota_proto::deployments::v1::{
    DownloadHead, DownloadResponse, UploadResponse, download_response::Part,
};
use rota_runtime::{listen::Listener, tls::Protocols};
use rota_types::{ErrorCode, Permission};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::door::{Door, PATIENCE, person, until};

const UPLOAD: &str = "rota.deployments.v1.ArtifactService/Upload";
const GET: &str = "GET /api/devices/v1/deployments/download/artifacts/a?x=1 HTTP/1.1\r\n\
                   Host: a\r\nConnection: close\r\n\r\n";
const DOWNLOAD: &str = "rota.deployments.v1.ArtifactService/Download";

/// Serves the gateway on a port of its own, in plain.
async fn connect(door: &Door) -> TcpStream {
    let address = "127.0.0.1:0".parse().unwrap();
    let limits = door.listener_limits.clone();
    let listener = Listener::bind("test", address, None, Protocols::Http, limits).await.unwrap();
    let address = listener.local_addr().unwrap();
    listener.serve(door.gateway.router(), &door.tasks);
    TcpStream::connect(address).await.unwrap()
}

/// Reads until the other side closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn header_names_are_in_title_case() {
    let door = Door::open().await;
    let mut stream = connect(&door).await;
    let request =
        b"GET /nowhere HTTP/1.1\r\nHost: a\r\nx-men-requestid: r\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    for line in ["Content-Type: application/json\r\n", "X-Men-Requestid: r\r\n", "Content-Length: "]
    {
        assert!(answer.contains(line), "{answer}");
    }
}

#[tokio::test]
async fn a_download_says_its_length_and_is_not_chunked() {
    let door = Door::open().await;
    let head = DownloadHead {
        total_size: 10,
        length: 10,
        etag: "\"e\"".into(),
        file_name: "a.mender".into(),
        ..DownloadHead::default()
    };
    let parts = [Part::Head(head), Part::Chunk(b"01234".to_vec()), Part::Chunk(b"56789".to_vec())];
    let parts = parts.map(|part| DownloadResponse { part: Some(part) });
    door.deployments.streams(DOWNLOAD, &parts);
    let mut stream = connect(&door).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.contains("Content-Length: 10\r\n"), "{answer}");
    assert!(!answer.contains("Transfer-Encoding"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n0123456789"), "{answer}");
}

/// A length would be that of the whole file (RFC 9110, section 8.6).
#[tokio::test]
async fn an_answer_without_a_body_says_no_length_of_it() {
    let door = Door::open().await;
    let known = DownloadHead { total_size: 10, not_modified: true, ..DownloadHead::default() };
    let known = DownloadResponse { part: Some(Part::Head(known)) };
    door.deployments.streams(DOWNLOAD, &[known]);
    let mut stream = connect(&door).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n") && !answer.contains("Content-Length"), "{answer}");
}

/// Clients that write their whole body before they read get the answer nevertheless.
#[tokio::test]
async fn an_upload_that_is_refused_early_is_told_so() {
    let door = Door::open().await;
    door.deployments.refuses(UPLOAD, ErrorCode::AlreadyExists, "exists");
    let mut stream = connect(&door).await;
    stream.write_all(upload(&door, 16 << 20).as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 409 Conflict\r\n"), "{answer}");
    assert!(answer.contains("exists"), "{answer}");
}

/// The same holds for every request that is refused before its end, whatever refuses it.
#[tokio::test]
async fn a_large_body_does_not_hide_the_answer() {
    let door = Door::open().await;
    let token = door.people.person(&person(Permission::Manage));
    let status = "/api/devices/v1/deployments/device/deployments/a/status";
    let search = "/api/management/v2/devauth/devices/search";
    let body = "x".repeat(16 << 20);
    for (method, path, kind, expected) in [
        ("PUT", status, "application/json", "401 Unauthorized"),
        ("POST", "/nowhere", "application/json", "404 Not Found"),
        ("PUT", search, "application/json", "405 Method Not Allowed"),
        ("POST", search, "application/json", "413 Payload Too Large"),
        ("POST", "/api/management/v1/deployments/artifacts", "text/plain", "415 Unsupported"),
    ] {
        let mut stream = connect(&door).await;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_connection_outlives_a_request_that_was_refused_before_its_body_came() {
    let door = Door::open().await;
    let mut stream = connect(&door).await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 22];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 404 Not Found");
    let rest = "{}GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(rest.as_bytes()).await.unwrap();
    let second = read(&mut stream).await;
    assert_eq!(second.matches("HTTP/1.1 404 Not Found").count(), 1, "{second}");
}

#[tokio::test]
async fn nothing_is_awaited_from_who_waits_for_permission_that_is_refused() {
    let door = Door::open().await;
    let mut stream = connect(&door).await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                Content-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn an_upload_may_wait_for_permission_to_go_on() {
    let door = Door::open().await;
    door.deployments.answers(UPLOAD, UploadResponse { artifact_id: "a".into() });
    let mut stream = connect(&door).await;
    let request = upload(&door, 10);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = format!("{head}\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut interim)).await.unwrap().unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(
        answer.contains("Location: /api/management/v1/deployments/artifacts/a\r\n"),
        "{answer}"
    );
}

/// A whole request with a file of so many bytes.
fn upload(door: &Door, size: usize) -> String {
    let token = door.people.person(&person(Permission::Manage));
    let file = "x".repeat(size);
    let disposition = "Content-Disposition: form-data; name=\"artifact\"; filename=\"a\"";
    let body = format!("--X\r\n{disposition}\r\n\r\n{file}\r\n--X--\r\n");
    let length = body.len();
    format!(
        "POST /api/management/v1/deployments/artifacts HTTP/1.1\r\nHost: a\r\n\
         Authorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=X\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// An Artifact without an end, at a gateway with room for one download, whose settings wait one
/// second for anything.
async fn endless() -> Door {
    let flags = ["--max-transfers=1", "--client-stall-seconds=1", "--transfer-idle-seconds=1"];
    let door = Door::open_with(&flags).await;
    door.deployments.makes(DOWNLOAD, || {
        let size = 1 << 50;
        let head = DownloadHead { total_size: size, length: size, ..DownloadHead::default() };
        let chunk = || DownloadResponse { part: Some(Part::Chunk(vec![0; 1 << 16])) };
        let head = DownloadResponse { part: Some(Part::Head(head)) };
        [head].into_iter().chain(std::iter::repeat_with(chunk))
    });
    door
}

/// Whether a download is under way.
async fn is_full(door: &Door) -> bool {
    let path = "/api/devices/v1/deployments/download/artifacts/a?x=1";
    let request = Request::get(path).body(Body::empty()).unwrap();
    door.respond("192.0.2.1:1", request).await.status() == StatusCode::SERVICE_UNAVAILABLE
}

#[tokio::test]
async fn a_client_that_stops_reading_a_download_is_cut_off() {
    let door = endless().await;
    let mut stream = connect(&door).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut first = [0; 15];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    assert!(is_full(&door).await);
    until(async || !is_full(&door).await).await;
    // It finds out when it comes back for more than it was sent before.
    let rest = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(rest.is_err(), "the end of an endless file");
}

#[tokio::test]
async fn over_http_2_the_answer_is_cut_off() {
    let door = endless().await;
    let path = "/api/devices/v1/deployments/download/artifacts/a?x=1";
    let request = Request::get(path).version(Version::HTTP_2).body(Body::empty()).unwrap();
    let response = door.respond("192.0.2.1:1", request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(is_full(&door).await);
    until(async || !is_full(&door).await).await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_client_that_is_slow_but_goes_on_is_not_cut_off() {
    const MANY_TIMES_THE_LIMIT: Duration = Duration::from_secs(5);
    let door = endless().await;
    let mut stream = connect(&door).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    let began = Instant::now();
    let mut some = vec![0; 96 << 10];
    // What it reads in a second is more than a segment on loopback, and far less than lies in
    // the buffers between.
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    while began.elapsed() < MANY_TIMES_THE_LIMIT {
        pace.tick().await;
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut some)).await.unwrap().unwrap();
    }
    assert!(is_full(&door).await, "given up behind its back");
}
