//! People: signing in and out, and managing accounts.

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rota_proto::accounts::v1 as wire;
use rota_rest::users as rest;

use crate::{
    app::App,
    convert::users as convert,
    error::Problem,
    extract::{Allowance, Lenient, Path, Query, Who, expect_json, read},
    lenient,
};

const CHALLENGE: &str = r#"Basic realm="ManagementLogin""#;

/// Signs in with e-mail address and password, and gets a token.
#[utoipa::path(post, path = "/api/management/v1/useradm/auth/login", tag = "users",
    request_body = Option<rest::Login>,
    responses((status = 200, body = String, content_type = "application/jwt")))]
pub(crate) async fn login(
    State(app): State<App>,
    who: Who,
    request: Request<Body>,
) -> Result<Response, Problem> {
    app.limits.sign_in(request.extensions())?;
    let (parts, body) = request.into_parts();
    let (email, password) = basic(&parts.headers)
        .ok_or_else(|| Problem::unauthenticated("e-mail and password are needed", CHALLENGE))?;
    let body = read(&app, &parts, body, Allowance::PROOF).await?;
    let mut login = rest::Login::default();
    if !body.is_empty() {
        expect_json(&parts.headers)?;
        login = lenient::from_slice(&body)?;
    }
    let request = wire::LoginRequest { email, password, no_expiry: login.no_expiry };
    let answer = app.accounts().login(who.asks(request)).await?.into_inner();
    Ok(([(header::CONTENT_TYPE, "application/jwt")], answer.token).into_response())
}

/// The user and password of Basic authentication.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, text) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// Ends the session of the token.
#[utoipa::path(post, path = "/api/management/v1/useradm/auth/logout", tag = "users",
    responses((status = 202)))]
pub(crate) async fn logout(State(app): State<App>, who: Who) -> Result<StatusCode, Problem> {
    app.accounts().logout(who.asks(wire::LogoutRequest {})).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Gets the person who asks.
#[utoipa::path(get, path = "/api/management/v1/useradm/users/me", tag = "users",
    responses((status = 200, body = rest::User)))]
pub(crate) async fn me(State(app): State<App>, who: Who) -> Result<Json<rest::User>, Problem> {
    let user = app.accounts().get_self(who.reads(wire::GetSelfRequest {})).await?.into_inner();
    Ok(Json(convert::user(user)?))
}

/// Changes the person who asks.
#[utoipa::path(put, path = "/api/management/v1/useradm/users/me", tag = "users",
    request_body = rest::UserUpdate, responses((status = 204)))]
pub(crate) async fn update_me(
    State(app): State<App>,
    who: Who,
    extensions: Extensions,
    Lenient(body): Lenient<rest::UserUpdate>,
) -> Result<StatusCode, Problem> {
    count(&app, &extensions, &body)?;
    app.accounts().update_self(who.asks(convert::update_self(body)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the person who asks.
#[utoipa::path(put, path = "/api/management/v2/useradm/users/me", tag = "users",
    request_body = rest::UserUpdate, responses((status = 204)))]
pub(crate) async fn update_me_v2(
    app: State<App>,
    who: Who,
    extensions: Extensions,
    body: Lenient<rest::UserUpdate>,
) -> Result<StatusCode, Problem> {
    update_me(app, who, extensions, body).await
}

/// A change that proves itself with a password is as good a guess, and as costly, as a sign-in.
fn count(app: &App, extensions: &Extensions, change: &rest::UserUpdate) -> Result<(), Problem> {
    if change.current_password.is_some() { app.limits.sign_in(extensions) } else { Ok(()) }
}

/// Lists people.
#[utoipa::path(get, path = "/api/management/v1/useradm/users", tag = "users",
    params(("id" = Option<Vec<String>>, Query), ("email" = Option<Vec<String>>, Query),
           ("created_after" = Option<i64>, Query), ("created_before" = Option<i64>, Query),
           ("updated_after" = Option<i64>, Query), ("updated_before" = Option<i64>, Query)),
    responses((status = 200, body = [rest::User])))]
pub(crate) async fn list(
    State(app): State<App>,
    who: Who,
    query: Query,
) -> Result<Json<Vec<rest::User>>, Problem> {
    let request = who.reads(convert::list(&query)?);
    let users = app.accounts().list_users(request).await?.into_inner().users;
    Ok(Json(users.into_iter().map(convert::user).collect::<Result<_, _>>()?))
}

/// Adds a person.
#[utoipa::path(post, path = "/api/management/v1/useradm/users", tag = "users",
    request_body = rest::NewUser, responses((status = 201, headers(("Location" = String)))))]
pub(crate) async fn create(
    State(app): State<App>,
    who: Who,
    Lenient(body): Lenient<rest::NewUser>,
) -> Result<Response, Problem> {
    let request = who.asks(convert::create(body)?);
    let id = app.accounts().create_user(request).await?.into_inner().id;
    let location = format!("/api/management/v1/useradm/users/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

/// Gets a person.
#[utoipa::path(get, path = "/api/management/v1/useradm/users/{id}", tag = "users",
    params(("id" = String, Path)), responses((status = 200, body = rest::User)))]
pub(crate) async fn get(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<rest::User>, Problem> {
    let user = app.accounts().get_user(who.reads(wire::GetUserRequest { id })).await?.into_inner();
    Ok(Json(convert::user(user)?))
}

/// Changes a person.
#[utoipa::path(put, path = "/api/management/v1/useradm/users/{id}", tag = "users",
    params(("id" = String, Path)), request_body = rest::UserUpdate, responses((status = 204)))]
pub(crate) async fn update(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    extensions: Extensions,
    Lenient(body): Lenient<rest::UserUpdate>,
) -> Result<StatusCode, Problem> {
    count(&app, &extensions, &body)?;
    app.accounts().update_user(who.asks(convert::update(id, body)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a person.
#[utoipa::path(delete, path = "/api/management/v1/useradm/users/{id}", tag = "users",
    params(("id" = String, Path)), responses((status = 204)))]
pub(crate) async fn delete(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.accounts().delete_user(who.asks(wire::DeleteUserRequest { id })).await?;
    Ok(StatusCode::NO_CONTENT)
}
