//! What holds for every request, whatever it asks for.

use axum::{
    body::Body,
    http::{Method, Request},
};
use futures::future::join_all;
use rota_proto::{
    accounts::v1::LoginResponse,
    deployments::v1::ListDeploymentsResponse,
    deviceauth::v1::{AuthenticateResponse, CountDevicesResponse, ListDevicesResponse},
};
use rota_types::ErrorCode;
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::door::{Door, PATIENCE, Sent, with_body};

const DEVICES: &str = "/api/management/v2/devauth/devices";
const AUTH_REQUESTS: &str = "/api/devices/v1/authentication/auth_requests";
const LIST: &str = "rota.deviceauth.v1.ManagementService/ListDevices";
const COUNT: &str = "rota.deviceauth.v1.ManagementService/CountDevices";
const AUTHENTICATE: &str = "rota.deviceauth.v1.DeviceService/Authenticate";
const LOGIN: &str = "rota.accounts.v1.ManagementService/Login";

#[tokio::test]
async fn the_id_of_a_request_is_echoed_and_stands_in_its_error() {
    let door = Door::open().await;
    let request = Request::get("/nowhere").header("X-MEN-RequestID", "abc");
    let answer = door.send(with_body(request, Sent::Nothing)).await.expect(404);
    assert_eq!(answer.json(), json!({"error": "not found", "request_id": "abc"}));
    assert_eq!(answer.header("x-men-requestid"), "abc");

    let minted = door.send(with_body(Request::get("/nowhere"), Sent::Nothing)).await;
    assert_eq!(minted.json()["request_id"], minted.header("x-men-requestid"));
    assert_eq!(minted.header("x-men-requestid").len(), 36);
    let unusable = Request::get("/nowhere").header("X-MEN-RequestID", "a b");
    let answer = door.send(with_body(unusable, Sent::Nothing)).await;
    assert_eq!(answer.header("x-men-requestid").len(), 36);
}

#[tokio::test]
async fn a_wrong_method_is_405_and_options_tells_the_right_ones() {
    let door = Door::open().await;
    let answer = door.send(with_body(Request::patch(DEVICES), Sent::Nothing)).await.expect(405);
    assert_eq!(answer.error(), "method not allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
    let options = Request::builder().method(Method::OPTIONS).uri(DEVICES);
    let answer = door.send(with_body(options, Sent::Nothing)).await.expect(204);
    let mut allowed: Vec<_> = answer.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_415_and_one_that_cannot_be_read_400() {
    let door = Door::open().await;
    let search = || Request::post(format!("{DEVICES}/search"));
    let text = Sent::Text("text/plain", "{}".into());
    door.as_person(search(), text).await.expect(415);
    for body in ["", "{", "[]", r#"{"status":7}"#, "\u{1}", r#"{"id":{"a":1}}"#] {
        let answer = door.as_person(search(), body).await.expect(400);
        assert!(!answer.error().is_empty(), "{body:?}");
        assert!(!answer.header("x-men-requestid").is_empty());
    }
    assert_eq!(door.deviceauth.calls(), 0);
}

#[tokio::test]
async fn names_of_members_have_no_case_and_unknown_ones_are_ignored() {
    let door = Door::open().await;
    door.deviceauth.answers(LIST, ListDevicesResponse::default());
    let body = json!({"STATUS": "accepted", "Id": null, "what": {"is": ["this"]}});
    door.as_person(Request::post(format!("{DEVICES}/search")), body).await.expect(200);
}

#[tokio::test]
async fn a_body_above_a_mebibyte_is_413_whether_it_says_so_or_not() {
    let door = Door::open().await;
    door.deviceauth.answers(LIST, ListDevicesResponse::default());
    let body = |size: usize| {
        let empty = json!({"id": [""]}).to_string();
        json!({"id": ["x".repeat(size - empty.len())]})
    };
    let search = || Request::post(format!("{DEVICES}/search"));
    door.as_person(search(), body(1 << 20)).await.expect(200);
    door.as_person(search(), body((1 << 20) + 1)).await.expect(413);
    let lying = search().header("content-length", "9999999999");
    door.as_person(lying, json!({})).await.expect(413);
}

#[tokio::test]
async fn pages_that_cannot_be_are_400_in_the_words_of_the_api() {
    let door = Door::open().await;
    let positive = "value must be a non-zero positive integer";
    for (query, words) in [
        ("page=x", r#"invalid page query: "x""#.to_owned()),
        ("page=0", format!("invalid page query: {positive}")),
        ("page=-1", format!("invalid page query: {positive}")),
        ("per_page=0", format!("invalid per_page query: {positive}")),
        ("per_page=x", r#"invalid per_page query: "x""#.to_owned()),
        ("per_page=501", r#"parameter "per_page" above limit (max: 500)"#.to_owned()),
    ] {
        let answer = door.as_person(Request::get(format!("{DEVICES}?{query}")), ()).await;
        assert_eq!(answer.expect(400).error(), words);
    }
}

#[tokio::test]
async fn links_are_relative_and_one_to_a_line() {
    let door = Door::open().await;
    door.deployments.answers(
        "rota.deployments.v1.ManagementService/ListDeployments",
        ListDeploymentsResponse { deployments: Vec::new(), total: 50 },
    );
    let path = "/api/management/v1/deployments/deployments";
    let request = Request::get(format!("{path}?status=finished&page=2&per_page=10"));
    let answer = door.as_person(request, ()).await.expect(200);
    assert_eq!(answer.header("x-total-count"), "50");
    let link = |page: u32, relation: &str| {
        format!("<{path}?page={page}&per_page=10&status=finished>; rel=\"{relation}\"")
    };
    assert_eq!(
        answer.all("link"),
        [link(1, "first"), link(1, "prev"), link(3, "next"), link(5, "last")]
    );
}

#[tokio::test]
async fn every_code_of_a_service_has_its_status() {
    let door = Door::open().await;
    for (code, status) in [
        (ErrorCode::Invalid, 400),
        (ErrorCode::Unauthenticated, 401),
        (ErrorCode::Forbidden, 403),
        (ErrorCode::NotFound, 404),
        (ErrorCode::AlreadyExists, 409),
        (ErrorCode::Conflict, 409),
        (ErrorCode::Gone, 410),
        (ErrorCode::Precondition, 412),
        (ErrorCode::TooLarge, 413),
        (ErrorCode::UnsupportedMedia, 415),
        (ErrorCode::Unprocessable, 422),
        (ErrorCode::TooMany, 429),
        (ErrorCode::Unavailable, 503),
        (ErrorCode::Timeout, 504),
        (ErrorCode::Internal, 500),
    ] {
        door.deviceauth.fails(COUNT, code, "the secret cause");
        let answer = door.as_person(Request::get(format!("{DEVICES}/count")), ()).await;
        let answer = answer.expect(status);
        let told = if status == 500 { "internal error" } else { "the secret cause" };
        assert_eq!(answer.error(), told);
        let busy = [429, 503, 504].contains(&status);
        assert_eq!(answer.headers.contains_key("retry-after"), busy, "{code}");
    }
}

#[tokio::test]
async fn a_service_that_says_when_to_come_again_is_quoted() {
    let door = Door::open().await;
    let metadata = vec![("retry_after_seconds", "17".to_owned())];
    door.deviceauth.fails_with(COUNT, ErrorCode::TooMany, "busy", metadata);
    let answer = door.as_person(Request::get(format!("{DEVICES}/count")), ()).await.expect(429);
    assert_eq!(answer.header("retry-after"), "17");
    assert!(answer.json().get("metadata").is_none());
}

#[tokio::test]
async fn an_address_that_asks_for_tokens_too_often_is_told_to_wait() {
    let flags = ["--auth-requests-burst", "2", "--auth-requests-per-second", "1"];
    let door = Door::open_with(&flags).await;
    door.deviceauth.answers(AUTHENTICATE, AuthenticateResponse { token: "t".into() });
    let request = || {
        let request = Request::post(AUTH_REQUESTS);
        with_body(request, Sent::Json(json!({})))
    };
    for _ in 0..2 {
        door.send_from("192.0.2.9:1", request()).await.expect(200);
    }
    let answer = door.send_from("192.0.2.9:2", request()).await.expect(429);
    assert_eq!(answer.error(), "too many requests");
    assert_eq!(answer.header("retry-after"), "1");
    door.send_from("192.0.2.10:1", request()).await.expect(200);
}

#[tokio::test]
async fn sign_ins_are_limited_by_the_address_that_a_trusted_proxy_names() {
    let flags = ["--sign-ins-burst", "1", "--trusted-proxies", "10.0.0.0/8"];
    let door = Door::open_with(&flags).await;
    door.accounts.answers(LOGIN, LoginResponse { token: "t".into() });
    let request = |from: &str| {
        Request::post("/api/management/v1/useradm/auth/login")
            .header("authorization", "Basic YTpi")
            .header("x-forwarded-for", from)
            .body(Body::empty())
            .unwrap()
    };
    door.send_from("10.0.0.1:1", request("203.0.113.1")).await.expect(200);
    door.send_from("10.0.0.1:1", request("203.0.113.1")).await.expect(429);
    door.send_from("10.0.0.1:1", request("203.0.113.2")).await.expect(200);
    // Whoever is no proxy cannot choose another address.
    door.send_from("192.0.2.1:1", request("203.0.113.3")).await.expect(200);
    door.send_from("192.0.2.1:1", request("203.0.113.4")).await.expect(429);
}

/// An authentication request whose body does not come while the sender lives.
fn slow() -> (Sender<std::io::Result<Vec<u8>>>, Request<Body>) {
    let (sender, body) = channel(1);
    let body = Body::from_stream(ReceiverStream::new(body));
    (sender, Request::post(AUTH_REQUESTS).body(body).unwrap())
}

/// Whoever has a token may guess no more often than whoever has none.
#[tokio::test]
async fn a_change_that_is_proven_by_a_password_counts_as_a_sign_in() {
    let users = "/api/management/v1/useradm/users";
    for path in
        [&format!("{users}/me"), "/api/management/v2/useradm/users/me", &format!("{users}/u")]
    {
        let door = Door::open_with(&["--sign-ins-burst", "1"]).await;
        let refuses = |method: &str| {
            let method = format!("rota.accounts.v1.ManagementService/{method}");
            door.accounts.fails(&method, ErrorCode::Unprocessable, "wrong");
        };
        refuses("UpdateSelf");
        refuses("UpdateUser");
        let roles = json!({"roles": ["r"], "email": "a@example.com"});
        let guess = json!({"password": "12345678", "current_password": "wrong"});
        for status in [422, 429] {
            door.as_person(Request::put(path), guess.clone()).await.expect(status);
        }
        door.as_person(Request::put(path), roles).await.expect(422);
    }
}

#[tokio::test]
async fn one_address_cannot_fill_the_places_with_bodies_that_do_not_come() {
    let door = Door::open_with(&["--max-requests", "8"]).await;
    door.deviceauth.answers(AUTHENTICATE, AuthenticateResponse { token: "t".into() });
    door.deviceauth.answers(COUNT, CountDevicesResponse { count: 1 });
    let (senders, requests): (Vec<_>, Vec<_>) = (0..8).map(|_| slow()).unzip();
    let first = join_all(requests.into_iter().map(|slow| door.send_from("192.0.2.1:1", slow)));
    tokio::pin!(first);
    let others = async {
        let whole = with_body(Request::post(AUTH_REQUESTS), Sent::Json(json!({})));
        door.send_from("198.51.100.1:1", whole).await.expect(200);
        door.as_person(Request::get(format!("{DEVICES}/count")), ()).await.expect(200);
        // Nor the places of bodies that are late for good reason.
        let (sender, late) = slow();
        let late = door.send_from("198.51.100.1:1", late);
        let (answer, ()) = tokio::join!(late, async move { drop(sender) });
        answer.expect(415);
    };
    tokio::select! {
        biased;
        _ = &mut first => panic!("the bodies have not come"),
        () = others => {}
    }
    drop(senders);
    let answers = first.await;
    let refused: Vec<_> = answers.iter().filter(|it| it.status.as_u16() == 429).collect();
    assert_eq!(refused.len(), 6);
    assert_eq!(refused[0].header("retry-after"), "1");
    // What was held is given back.
    let (sender, late) = slow();
    let late = door.send_from("192.0.2.1:1", late);
    let (answer, ()) = tokio::join!(late, async move { drop(sender) });
    answer.expect(415);
}

#[tokio::test]
async fn a_proof_that_is_longer_than_any_is_413() {
    let door = Door::open().await;
    door.deviceauth.answers(AUTHENTICATE, AuthenticateResponse { token: "t".into() });
    let request = |size: usize| {
        let body = Sent::Text("application/json", "x".repeat(size));
        with_body(Request::post(AUTH_REQUESTS), body)
    };
    door.send(request(64 << 10)).await.expect(200);
    door.send(request((64 << 10) + 1)).await.expect(413);
}

#[tokio::test]
async fn more_requests_than_there_are_places_for_are_told_to_come_again() {
    let door = Door::open_with(&["--max-requests", "1"]).await;
    door.deviceauth.answers(COUNT, CountDevicesResponse { count: 1 });
    // A body that does not come keeps the only place.
    let (sender, slow) = slow();
    let count = || door.as_person(Request::get(format!("{DEVICES}/count")), ());
    let first = door.send(slow);
    tokio::pin!(first);
    tokio::select! {
        biased;
        _ = &mut first => panic!("the body has not come"),
        answer = count() => {
            let answer = answer.expect(503);
            assert_eq!(answer.header("retry-after"), "1");
        }
    }
    drop(sender);
    first.await;
    count().await.expect(200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_504() {
    let door = Door::open_with(&["--request-seconds", "0"]).await;
    let (_sender, slow) = slow();
    let answer = tokio::time::timeout(PATIENCE, door.send(slow)).await.unwrap();
    answer.expect(504);
}

#[tokio::test]
async fn a_body_that_is_cut_is_400() {
    let door = Door::open().await;
    let chunks = [Ok(&b"{\"a\":"[..]), Err(std::io::Error::other("cut"))];
    let body = Body::from_stream(futures::stream::iter(chunks));
    let request = Request::post(AUTH_REQUESTS).body(body).unwrap();
    door.send(request).await.expect(400);
}

#[tokio::test]
async fn long_lists_are_compressed_for_those_who_can_read_them() {
    let door = Door::open().await;
    let groups = (0..500).map(|n| format!("group-{n}")).collect();
    door.inventory.answers(
        "rota.inventory.v1.ManagementService/ListGroups",
        rota_proto::inventory::v1::ListGroupsResponse { groups },
    );
    let path = "/api/management/v1/inventory/groups";
    let request = Request::get(path).header("accept-encoding", "gzip");
    let answer = door.as_person(request, ()).await.expect(200);
    assert_eq!(answer.header("content-encoding"), "gzip");
    let answer = door.as_person(Request::get(path), ()).await.expect(200);
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(answer.json()[499], "group-499");
}
