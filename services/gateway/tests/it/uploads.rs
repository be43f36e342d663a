//! Uploads: parts in their order, bytes as they come, nothing kept of what is cut.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    body::Body,
    http::{Request, header},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use rota_proto::deployments::v1::{
    UploadHead, UploadRequest, UploadResponse, upload_request::Part,
};
use rota_types::{ErrorCode, Permission};
use serde_json::json;

use crate::door::{Answer, Door, PATIENCE, person};

const PATH: &str = "/api/management/v1/deployments/artifacts";
const UPLOAD: &str = "rota.deployments.v1.ArtifactService/Upload";
const ID: &str = "0190b6a5-0000-7000-8000-000000000001";

/// A form, part by part.
fn form(parts: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        let file = if *name == "artifact" { "; filename=\"a.mender\"" } else { "" };
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n")
    };
    let parts: String = parts.iter().map(part).collect();
    format!("{parts}--X--\r\n")
}

async fn send(door: &Door, body: impl Into<Body>) -> Answer {
    door.send(post(door, body)).await
}

fn post(door: &Door, body: impl Into<Body>) -> Request<Body> {
    let token = door.people.person(&person(Permission::Manage));
    Request::post(PATH)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X")
        .body(body.into())
        .unwrap()
}

/// What deployments was sent: the head, the bytes, and whether the end came.
fn sent(door: &Door) -> (UploadHead, Vec<u8>, bool) {
    let mut head = UploadHead::default();
    let (mut bytes, mut ended) = (Vec::new(), false);
    for message in door.deployments.last(UPLOAD).all::<UploadRequest>() {
        match message.part.unwrap() {
            Part::Head(first) => head = first,
            Part::Chunk(chunk) => bytes.extend(chunk),
            Part::End(_) => ended = true,
        }
    }
    (head, bytes, ended)
}

#[tokio::test]
async fn a_form_is_handed_on_and_the_artifact_gets_an_address() {
    let door = Door::open().await;
    door.deployments.answers(UPLOAD, UploadResponse { artifact_id: ID.into() });
    let parts = [
        ("size", "9"),
        ("description", "the first"),
        ("artifact_id", &ID.to_uppercase()),
        ("unknown", "x"),
        ("artifact", "the bytes"),
    ];
    let answer = send(&door, form(&parts)).await.expect(201);
    assert_eq!(answer.header("location"), format!("{PATH}/{ID}"));
    assert!(answer.body.is_empty());
    let (head, bytes, ended) = sent(&door);
    assert_eq!((head.size, head.description.as_str()), (Some(9), "the first"));
    assert_eq!(head.artifact_id.as_deref(), Some(ID));
    assert_eq!((bytes, ended), (b"the bytes".to_vec(), true));
}

#[tokio::test]
async fn a_form_that_is_wrong_is_400_and_is_never_ended() {
    let door = Door::open().await;
    door.deployments.fails(UPLOAD, ErrorCode::Invalid, "the upload was cut");
    let whole = form(&[("artifact", "the bytes")]);
    for body in [
        form(&[]),
        form(&[("description", "x")]),
        form(&[("size", "many"), ("artifact", "x")]),
        form(&[("size", "-1"), ("artifact", "x")]),
        form(&[("artifact_id", "x"), ("artifact", "x")]),
        form(&[("description", &"x".repeat(4097)), ("artifact", "x")]),
        form(&[("artifact", "x"), ("description", "late")]),
        form(&[("artifact", "x"), ("artifact", "y")]),
        form(&[("a", "x"); 17]),
        whole[..whole.len() - 20].to_owned(),
        "rubbish".to_owned(),
        String::new(),
    ] {
        let answer = send(&door, body).await.expect(400);
        assert!(!answer.error().is_empty());
        assert!(
            !door
                .deployments
                .last(UPLOAD)
                .all::<UploadRequest>()
                .iter()
                .any(|message| matches!(message.part, Some(Part::End(_))))
        );
    }
}

/// Neither is kept while its boundary, or the end of its part's head, is waited for.
#[tokio::test]
async fn a_form_without_an_end_in_sight_is_400_soon() {
    let door = Door::open().await;
    door.deployments.fails(UPLOAD, ErrorCode::Invalid, "the upload was cut");
    for start in ["", "--X\r\nA: "] {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let rubbish = std::iter::repeat_with(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Bytes::from_static(&[b'x'; 1 << 10]))
        });
        let pieces = [Ok::<_, std::io::Error>(Bytes::from(start))].into_iter().chain(rubbish);
        // More never comes, so that whoever goes on to wait for it waits for good.
        let body = stream::iter(pieces.take(1 << 10)).chain(stream::pending());
        let sent = door.respond("192.0.2.1:1", post(&door, Body::from_stream(body)));
        let answer = tokio::time::timeout(PATIENCE, sent).await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 400);
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken <= 32, "{taken} KiB of {start:?}");
    }
}

#[tokio::test]
async fn a_form_may_come_in_any_pieces() {
    let door = Door::open().await;
    door.deployments.answers(UPLOAD, UploadResponse { artifact_id: ID.into() });
    let file = "0123456789\r\n--Y".repeat(2000);
    let whole = Bytes::from(form(&[("description", "the first"), ("artifact", &file)]));
    for size in [1, 3, 100, 20_000, whole.len()] {
        // The first piece ends within the first boundary, and within the head of the part.
        for first in [1, 40] {
            let first = whole.slice(..first);
            let rest = whole.slice(first.len()..);
            let rest = rest.chunks(size).map(Bytes::copy_from_slice);
            let pieces: Vec<_> = [first].into_iter().chain(rest).map(Ok::<_, Infallible>).collect();
            send(&door, Body::from_stream(stream::iter(pieces))).await.expect(201);
            let (head, bytes, ended) = sent(&door);
            assert_eq!((head.description.as_str(), ended), ("the first", true));
            assert!(bytes == file.as_bytes(), "{} bytes in pieces of {size}", bytes.len());
        }
    }
}

#[tokio::test]
async fn what_is_no_form_is_415() {
    let door = Door::open().await;
    for kind in ["application/json", "multipart/form-data", "application/octet-stream"] {
        let token = door.people.person(&person(Permission::Manage));
        let request = Request::post(PATH)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, kind);
        door.send(request.body(Body::from("{}")).unwrap()).await.expect(415);
    }
    assert_eq!(door.deployments.calls(), 0);
}

#[tokio::test]
async fn an_artifact_that_deployments_finds_too_large_is_413_and_is_read_no_further() {
    let door = Door::open().await;
    door.deployments.refuses(UPLOAD, ErrorCode::TooLarge, "larger than 1000 bytes");
    let whole = form(&[("artifact", "")]);
    let start = Bytes::from(whole.strip_suffix("\r\n--X--\r\n").unwrap().to_owned());
    let more = stream::repeat(Bytes::from_static(&[b'x'; 1 << 10])).take(1 << 10);
    let pieces = stream::iter([start]).chain(more).map(Ok::<_, Infallible>);
    // The end never comes, so that whoever goes on to wait for it waits for good.
    let sent = send(&door, Body::from_stream(pieces.chain(stream::pending())));
    let answer = tokio::time::timeout(PATIENCE, sent).await.expect("an answer").expect(413);
    assert_eq!(answer.error(), "larger than 1000 bytes");
}

#[tokio::test]
async fn a_conflict_is_told_with_what_it_is_about() {
    let door = Door::open().await;
    let metadata = vec![("conflict", json!({"device_type": "t"}).to_string())];
    door.deployments.fails_with(UPLOAD, ErrorCode::AlreadyExists, "exists", metadata);
    let answer = send(&door, form(&[("artifact", "x")])).await.expect(409);
    assert_eq!(answer.error(), "exists");
    assert_eq!(answer.json()["metadata"], json!({"conflict": {"device_type": "t"}}));
}

#[tokio::test]
async fn a_connection_that_breaks_ends_nothing() {
    let door = Door::open().await;
    door.deployments.answers(UPLOAD, UploadResponse { artifact_id: ID.into() });
    let whole = form(&[("artifact", &"x".repeat(1 << 16))]);
    let cut = Bytes::from(whole).slice(..1 << 15);
    let chunks = [Ok(cut), Err(std::io::Error::other("connection reset"))];
    send(&door, Body::from_stream(stream::iter(chunks))).await.expect(400);
    assert!(!sent(&door).2);
}

#[tokio::test]
async fn an_upload_that_stands_still_is_given_up() {
    let door = Door::open_with(&["--transfer-idle-seconds", "0"]).await;
    door.deployments.fails(UPLOAD, ErrorCode::Invalid, "the upload was cut");
    let (sender, body) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let start = form(&[("artifact", "x")]);
    sender.send(Ok(Bytes::from(start).slice(..60))).await.unwrap();
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let answer = door.respond("192.0.2.1:1", post(&door, body)).await;
    assert_eq!(answer.status().as_u16(), 408);
    drop(sender);
}
