//! People, sign-ins and the tenant.

use axum::{
    body::Body,
    http::{Request, request::Builder},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use prost_types::Timestamp;
use rota_proto::accounts::v1 as wire;
use rota_types::{Actor, ErrorCode};
use serde_json::json;

use crate::door::{Door, Sent, with_body};

const LOGIN: &str = "/api/management/v1/useradm/auth/login";
const USERS: &str = "/api/management/v1/useradm/users";

fn method(name: &str) -> String {
    format!("rota.accounts.v1.ManagementService/{name}")
}

fn login(user: &str, password: &str) -> Builder {
    let basic = STANDARD.encode(format!("{user}:{password}"));
    Request::post(LOGIN).header("authorization", format!("Basic {basic}"))
}

fn user() -> wire::User {
    let time = Some(Timestamp { seconds: 1_800_000_000, nanos: 0 });
    wire::User {
        id: "u".into(),
        email: "a@example.com".into(),
        created: time,
        updated: time,
        last_login: None,
        roles: vec!["RBAC_ROLE_OBSERVER".into()],
        tenant_id: "t".into(),
    }
}

#[tokio::test]
async fn a_sign_in_gives_a_token_as_text() {
    let door = Door::open().await;
    door.accounts.answers(&method("Login"), wire::LoginResponse { token: "a.b.c".into() });
    let answer = door.send(with_body(login("a@b.c", "p:w"), Sent::Nothing)).await.expect(200);
    assert_eq!((answer.text(), answer.header("content-type")), ("a.b.c", "application/jwt"));
    let asked = door.accounts.last(&method("Login"));
    assert_eq!(asked.caller.actor, Actor::Anonymous);
    let asked: wire::LoginRequest = asked.one();
    assert_eq!((asked.email.as_str(), asked.password.as_str()), ("a@b.c", "p:w"));
    assert!(!asked.no_expiry);

    let body = Sent::Json(json!({"No_Expiry": true, "token2fa": "123456"}));
    door.send(with_body(login("a@b.c", "p"), body)).await.expect(200);
    let asked: wire::LoginRequest = door.accounts.last(&method("Login")).one();
    assert!(asked.no_expiry);
    door.send(with_body(login("a@b.c", "p"), "{".into())).await.expect(400);
}

#[tokio::test]
async fn a_sign_in_without_proof_is_401() {
    let door = Door::open().await;
    for header in ["", "Basic", "Basic !!!", "Basic YQ==", "Bearer YTpi"] {
        let request = Request::post(LOGIN).header("authorization", header);
        let answer = door.send(request.body(Body::empty()).unwrap()).await.expect(401);
        assert!(answer.header("www-authenticate").starts_with("Basic "));
    }
    assert_eq!(door.accounts.calls(), 0);
    door.accounts.fails(&method("Login"), ErrorCode::Unauthenticated, "unauthorized");
    let answer = door.send(with_body(login("a", "b"), Sent::Nothing)).await.expect(401);
    assert_eq!(answer.error(), "unauthorized");
}

#[tokio::test]
async fn a_person_is_shown_and_changes_himself() {
    let door = Door::open().await;
    door.accounts.answers(&method("GetSelf"), user());
    let me = format!("{USERS}/me");
    let answer = door.as_person(Request::get(&me), ()).await.expect(200);
    assert_eq!(
        answer.json(),
        json!({
            "id": "u",
            "email": "a@example.com",
            "created_ts": "2027-01-15T08:00:00Z",
            "updated_ts": "2027-01-15T08:00:00Z",
            "roles": ["RBAC_ROLE_OBSERVER"],
            "tenant_id": "t",
        })
    );
    door.accounts.answers(&method("UpdateSelf"), wire::UpdateSelfResponse {});
    let change = json!({"password": "new", "current_password": "old", "roles": ["x"]});
    for path in [&me, "/api/management/v2/useradm/users/me"] {
        door.as_person(Request::put(path), change.clone()).await.expect(204);
        door.as_person(Request::put(path), json!({})).await.expect(400);
    }
    door.accounts.fails(&method("UpdateSelf"), ErrorCode::Unprocessable, "current password");
    door.as_person(Request::put(&me), json!({"password": "new"})).await.expect(422);
    door.accounts.answers(&method("Logout"), wire::LogoutResponse {});
    let logout = Request::post("/api/management/v1/useradm/auth/logout");
    door.as_person(logout, ()).await.expect(202);
}

#[tokio::test]
async fn people_are_managed() {
    let door = Door::open().await;
    door.accounts.answers(&method("CreateUser"), wire::CreateUserResponse { id: "u".into() });
    let body = json!({"email": "b@example.com", "password": "12345678", "roles": ["r"]});
    let answer = door.as_person(Request::post(USERS), body.clone()).await.expect(201);
    assert_eq!(answer.header("location"), format!("{USERS}/u"));
    door.as_person(Request::post(USERS), json!({"password": "12345678"})).await.expect(400);
    door.accounts.fails(&method("CreateUser"), ErrorCode::Unprocessable, "exists");
    door.as_person(Request::post(USERS), body).await.expect(422);

    let users = wire::ListUsersResponse { users: vec![user()] };
    door.accounts.answers(&method("ListUsers"), users);
    let query = "id=a&id=b&email=c&created_after=1";
    let answer = door.as_person(Request::get(format!("{USERS}?{query}")), ()).await.expect(200);
    assert_eq!(answer.json()[0]["id"], "u");
    let asked: wire::ListUsersRequest = door.accounts.last(&method("ListUsers")).one();
    assert_eq!((asked.ids.len(), asked.created_after), (2, Some(1)));
    door.as_person(Request::get(format!("{USERS}?created_after=x")), ()).await.expect(400);

    let path = format!("{USERS}/u");
    door.accounts.answers(&method("GetUser"), user());
    door.as_person(Request::get(&path), ()).await.expect(200);
    door.accounts.answers(&method("UpdateUser"), wire::UpdateUserResponse {});
    door.as_person(Request::put(&path), json!({"roles": []})).await.expect(204);
    let asked: wire::UpdateUserRequest = door.accounts.last(&method("UpdateUser")).one();
    assert!(asked.set_roles && asked.roles.is_empty() && asked.email.is_none());
    door.accounts.answers(&method("DeleteUser"), wire::DeleteUserResponse {});
    door.as_person(Request::delete(&path), ()).await.expect(204);
}

#[tokio::test]
async fn operators_find_the_token_that_devices_need() {
    let door = Door::open().await;
    let tenant = wire::Tenant {
        id: "t".into(),
        name: "default".into(),
        tenant_token: "x.y.z".into(),
        suspended: false,
        created: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
    };
    door.accounts.answers(&method("GetOwnTenant"), tenant);
    let request = Request::get("/api/management/v1/tenantadm/user/tenant");
    let answer = door.as_person(request, ()).await.expect(200);
    assert_eq!(
        (&answer.json()["tenant_token"], &answer.json()["status"]),
        (&json!("x.y.z"), &json!("active"))
    );
}
