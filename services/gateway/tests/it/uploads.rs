//! Uploads: parts in their order, bytes as they come, nothing kept of what is cut.

use axum::{
    body::Body,
    http::{Request, header},
};
use bytes::Bytes;
use rota_proto::deployments::v1::{
    UploadHead, UploadRequest, UploadResponse, upload_request::Part,
};
use rota_types::{ErrorCode, Permission};
use serde_json::json;

use crate::door::{Answer, Door, person};

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
    let token = door.people.person(&person(Permission::Manage));
    let request = Request::post(PATH)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X")
        .body(body.into())
        .unwrap();
    door.send(request).await
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
async fn an_artifact_that_is_too_large_is_413() {
    let door = Door::open_with(&["--max-upload-bytes", "1000"]).await;
    door.deployments.answers(UPLOAD, UploadResponse { artifact_id: ID.into() });
    send(&door, form(&[("artifact", &"x".repeat(1000))])).await.expect(201);
    send(&door, form(&[("artifact", &"x".repeat(1001))])).await.expect(413);
    assert!(!sent(&door).2);
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
    send(&door, Body::from_stream(futures::stream::iter(chunks))).await.expect(400);
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
    let token = door.people.person(&person(Permission::Manage));
    let request = Request::post(PATH)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=X")
        .body(body)
        .unwrap();
    let answer = door.respond("192.0.2.1:1", request).await;
    assert_eq!(answer.status().as_u16(), 408);
    drop(sender);
}
