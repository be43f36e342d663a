//! The guard before every route: it judges the request's token and states the caller.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::TimeDelta;
use rota_auth::{DeviceClaims, UserClaims};
use rota_types::{Actor, Caller, Permission, TenantId};
use uuid::Uuid;

use crate::{
    app::App,
    edge::Arrival,
    error::Problem,
    extract::Who,
    trust::{Issued, Refusal},
};

/// How long a statement about a caller holds: longer than any request waits for its turn, and
/// than clocks differ.
const STATEMENT_LIFETIME: TimeDelta = TimeDelta::minutes(5);

/// What a route wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No token.
    Nothing,
    /// A device's token.
    Device,
    /// The token of a person who may do this.
    Person(Permission),
}

/// The guard of one group of routes.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) app: App,
    pub(crate) needs: Needs,
    /// For the answer's head to be ready; none for uploads, which have limits of their own.
    pub(crate) deadline: Option<Duration>,
}

/// Lets a request pass to its handler with its caller, or refuses it.
pub(crate) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    match guard.needs {
        Needs::Nothing => {}
        Needs::Device => guard.app.trust.settle_devices().await,
        Needs::Person(_) => guard.app.trust.settle_people().await,
    }
    let caller = match caller(&guard, &request) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    if guard.needs != Needs::Nothing {
        tracing::Span::current().record("tenant", tracing::field::display(caller.tenant));
    }
    request.extensions_mut().insert(Who(caller));
    let Some(deadline) = guard.deadline else { return next.run(request).await };
    match tokio::time::timeout(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

fn caller(guard: &Guard, request: &Request) -> Result<Caller, Problem> {
    let arrival = Arrival::of(request.extensions()).ok_or_else(|| {
        tracing::error!("a request came in without passing the edge");
        Problem::internal()
    })?;
    let trust = &guard.app.trust;
    let now = guard.app.clock.now();
    let (tenant, actor, permissions) = match guard.needs {
        Needs::Nothing => (TenantId(Uuid::nil()), Actor::Anonymous, vec![Permission::Public]),
        Needs::Device => {
            let token = bearer(request.headers());
            let claims = judged(token, |token| trust.judge_device(token, now))?;
            device(&claims)
        }
        Needs::Person(permission) => {
            let token = bearer(request.headers()).or_else(|| cookie(request));
            let claims = judged(token, |token| trust.judge_person(token, now))?;
            person(&claims, permission)?
        }
    };
    Ok(Caller {
        tenant,
        actor,
        permissions,
        expires: now + STATEMENT_LIFETIME,
        request_id: arrival.request_id.clone(),
        address: arrival.address.map(|address| address.to_string()),
    })
}

type Identity = (TenantId, Actor, Vec<Permission>);

fn device(claims: &DeviceClaims) -> Identity {
    let actor = Actor::Device { id: claims.device, auth_set: claims.auth_set };
    (claims.tenant, actor, vec![Permission::Device])
}

fn person(claims: &UserClaims, permission: Permission) -> Result<Identity, Problem> {
    let actor =
        Actor::User { id: claims.user, session: claims.session, email: claims.email.clone() };
    // What a person may do never reaches beyond what people do.
    let held = claims.permissions.iter().copied();
    let held: Vec<_> =
        held.filter(|held| matches!(held, Permission::Read | Permission::Manage)).collect();
    let may = held.contains(&permission) || held.contains(&Permission::Manage);
    if may { Ok((claims.tenant, actor, held)) } else { Err(Problem::forbidden()) }
}

fn judged<C: Issued>(
    token: Option<&str>,
    judge: impl FnOnce(&str) -> Result<Arc<C>, Refusal>,
) -> Result<Arc<C>, Problem> {
    let challenge = C::CHALLENGE;
    let Some(token) = token else {
        return Err(Problem::unauthenticated("the request has no token", challenge));
    };
    judge(token).map_err(|refusal| match refusal {
        Refusal::Unknown => Problem::unavailable("tokens cannot be judged at the moment"),
        Refusal::Invalid(error) => Problem::unauthenticated(&error.to_string(), challenge),
        Refusal::Revoked => Problem::unauthenticated("the token has been revoked", challenge),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token in the cookie `JWT`, which browsers send with links. It may only look: a page of
/// somebody else's can make a browser send cookies, too.
fn cookie(request: &Request) -> Option<&str> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let lines = request.headers().get_all(header::COOKIE).iter();
    let mut cookies = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix("JWT="))
}
