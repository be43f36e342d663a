//! Downloads over connections that break.

use std::{
    io::Read,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    fake_server::{FakeServer, Request, Response},
    session::session,
};

const SIZE: usize = 300_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// Reads `/file`; pauses without progress add up to two seconds.
fn download(server: &FakeServer) -> Result<Vec<u8>, String> {
    let (session, _folder) = session(&[]);
    let url = format!("{}/file", server.url());
    let mut source = session.download_url(&url).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    source.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

/// What a sound server says to a request with a range.
fn rest(request: &Request) -> Response {
    let range = request.header("range").expect("a range");
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    Response::new(206, &content()[first..=last])
        .header("Content-Range", format!("bytes {first}-{last}/{SIZE}"))
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
    let server = FakeServer::start(|request| match request.header("range") {
        None => Response::new(200, content()).cut_after(100_000),
        Some("bytes=100000-299999") => rest(request).cut_after(50_000),
        Some(_) => rest(request),
    });
    assert!(download(&server).unwrap() == content());
    let ranges: Vec<_> =
        server.requests().iter().map(|r| r.header("range").map(str::to_owned)).collect();
    let expected = ["bytes=100000-299999", "bytes=150000-299999"].map(|r| Some(r.to_owned()));
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1..], expected);
}

#[test]
fn a_server_without_ranges_is_read_again_from_the_start() {
    let server = FakeServer::start({
        let requests = AtomicU32::new(0);
        move |_| match requests.fetch_add(1, Ordering::SeqCst) {
            0 => Response::new(200, content()).cut_after(100_000),
            _ => Response::new(200, content()),
        }
    });
    assert!(download(&server).unwrap() == content());
}

#[test]
fn a_busy_server_is_tried_again() {
    let server = FakeServer::start({
        let requests = AtomicU32::new(0);
        move |request| match (requests.fetch_add(1, Ordering::SeqCst), request.header("range")) {
            (0 | 2, _) => Response::empty(503),
            (1, _) => Response::new(200, content()).cut_after(10),
            _ => rest(request),
        }
    });
    assert!(download(&server).unwrap() == content());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_file_without_a_length_is_read_to_the_end_of_the_connection() {
    let server = FakeServer::start(|_| Response::new(200, content()).without_length());
    assert!(download(&server).unwrap() == content());
}

#[test]
fn a_refusal_is_final() {
    let server = FakeServer::start(|_| Response::new(403, r#"{"error":"link expired"}"#));
    let error = download(&server).unwrap_err();
    assert!(error.contains("link expired"), "{error}");
    assert_eq!(server.requests().len(), 1);
}
