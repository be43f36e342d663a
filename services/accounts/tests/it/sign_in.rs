//! People sign in and out.

use std::time::Duration;

use chrono::TimeDelta;
use rota_proto::{
    accounts::v1::{DeleteUserRequest, LoginRequest, LogoutRequest},
    trust::v1::{WatchRequest, trust_update::Update},
};
use rota_runtime::with_caller;
use rota_types::{ErrorCode, Permission};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request};

use crate::world::{ADMIN, PASSWORD, World, caller, claims, platform};

#[tokio::test]
async fn a_person_signs_in_with_address_and_password() {
    let (_world, replica) = World::start().await;
    let claims = claims(&replica.login("Admin@Example.COM", PASSWORD).await.unwrap());
    assert_eq!(claims.email, ADMIN);
    assert_eq!(claims.permissions, [Permission::Manage]);
    assert_eq!(claims.iss, "mender.useradm");
    assert_eq!(claims.exp, Some(claims.iat + 604_800));

    let me = replica.me(&replica.enter(ADMIN).await).await.unwrap();
    assert_eq!((me.email.as_str(), me.id), (ADMIN, claims.user.to_string()));
    assert_eq!(me.roles, ["RBAC_ROLE_PERMIT_ALL"]);
    assert_eq!(me.last_login.unwrap().seconds, 1_800_000_000);
    assert_eq!(me.tenant_id, claims.tenant.to_string());
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_refused_alike() {
    let (_world, replica) = World::start().await;
    let wrong = replica.login(ADMIN, "wrong horse").await.unwrap_err();
    assert_eq!(wrong.code, ErrorCode::Unauthenticated);
    for (email, password) in [("nobody@example.com", PASSWORD), ("", ""), ("no address", "x")] {
        assert_eq!(replica.login(email, password).await.unwrap_err(), wrong, "{email}");
    }
    let long = replica.login(ADMIN, &"x".repeat(2000)).await.unwrap_err();
    assert_eq!(long.code, ErrorCode::Invalid);
}

#[tokio::test]
async fn a_token_may_have_no_end() {
    let (world, replica) = World::start().await;
    let request =
        LoginRequest { email: ADMIN.to_owned(), password: PASSWORD.to_owned(), no_expiry: true };
    let token = replica.send(request).await.unwrap();
    assert_eq!(claims(&token).exp, None);
    let request = with_caller(Request::new(LogoutRequest {}), &caller(&token));
    replica.management.clone().logout(request).await.unwrap();
    // Remembered for good, since nothing else ends the token.
    let forever: bool = sqlx::query_scalar(
        "select bool_and(expires_at > now() + interval '1000 years') from accounts.revocations",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert!(forever);
}

#[tokio::test]
async fn signing_out_reaches_the_watchers_of_another_replica_within_a_second() {
    let (world, one) = World::start().await;
    let two = world.replica().await;
    let token = one.login(ADMIN, PASSWORD).await.unwrap();
    let mut watch = loop {
        match two.trust.clone().watch(platform(WatchRequest {})).await {
            Ok(watch) => break watch.into_inner(),
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "not listening yet"),
        }
        tokio::task::yield_now().await;
    };
    let first = watch.message().await.unwrap().unwrap().update.unwrap();
    assert!(matches!(first, Update::Snapshot(it) if it.revocations.is_empty()));

    let asked = Instant::now();
    let request = with_caller(Request::new(LogoutRequest {}), &caller(&token));
    one.management.clone().logout(request).await.unwrap();
    let revocation = timeout(Duration::from_secs(10), async {
        loop {
            let update = watch.message().await.unwrap().unwrap().update.unwrap();
            if let Update::Revocation(revocation) = update {
                return revocation;
            }
        }
    });
    let revocation = revocation.await.expect("the watcher is told");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(revocation.subject, claims(&token).session.to_string());
    assert!(revocation.epoch > i64::try_from(claims(&token).epoch).unwrap());
}

#[tokio::test]
async fn the_eleventh_sign_in_ends_the_first() {
    let (world, replica) = World::start().await;
    let mut tokens = Vec::new();
    for _ in 0..11 {
        world.clock.advance(TimeDelta::seconds(1));
        tokens.push(replica.login(ADMIN, PASSWORD).await.unwrap());
    }
    assert!(world.is_revoked(&tokens[0]).await);
    for token in &tokens[1..] {
        assert!(!world.is_revoked(token).await);
    }
    // Those that have run out make room by themselves.
    world.clock.advance(TimeDelta::days(8));
    replica.login(ADMIN, PASSWORD).await.unwrap();
    assert!(!world.is_revoked(&tokens[1]).await);
    assert_eq!(world.count("select count(*) from accounts.sessions").await, 10);
    let alive =
        "select count(*) from accounts.sessions where expires_at > to_timestamp(1800700000)";
    assert_eq!(world.count(alive).await, 1);
}

/// What is revoked for good is held by every gateway for good.
#[tokio::test]
async fn endless_sign_ins_leave_no_more_than_a_person_may_have_at_a_time() {
    let (world, replica) = World::start().await;
    let endless = async |email: &str| {
        world.clock.advance(TimeDelta::seconds(1));
        let (email, password) = (email.to_owned(), PASSWORD.to_owned());
        replica.send(LoginRequest { email, password, no_expiry: true }).await.unwrap()
    };
    let end = async |token: &str| {
        let request = with_caller(Request::new(LogoutRequest {}), &caller(token));
        replica.management.clone().logout(request).await.unwrap();
    };
    let mut tokens = Vec::new();
    for _ in 0..30 {
        tokens.push(endless(ADMIN).await);
    }
    for token in &tokens[..20] {
        assert!(world.is_revoked(token).await);
    }
    for token in &tokens[20..] {
        assert!(!world.is_revoked(token).await);
    }
    for _ in 0..30 {
        let token = endless(ADMIN).await;
        end(&token).await;
        assert!(world.is_revoked(&token).await);
    }
    // Nor do those of people who come and go.
    let admin = caller(&tokens[29]);
    for turn in 0..5 {
        let email = format!("{turn}@example.com");
        let id = replica.add(&admin, &email, &[]).await.unwrap();
        let left = endless(&email).await;
        let request = with_caller(Request::new(DeleteUserRequest { id }), &admin);
        replica.management.clone().delete_user(request).await.unwrap();
        assert!(world.is_revoked(&left).await);
    }
    let rows = world.count("select count(*) from accounts.revocations").await;
    assert!(rows <= 11, "{rows} revocations for good");
}

/// Whoever takes a row over is somebody else, with whatever end their token has.
#[tokio::test]
async fn a_row_that_is_taken_over_lets_nobody_in_who_had_it_before() {
    let (world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let id = replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let bobs = replica.login("bob@example.com", PASSWORD).await.unwrap();
    let request = with_caller(Request::new(DeleteUserRequest { id }), &admin);
    replica.management.clone().delete_user(request).await.unwrap();
    let anns = replica.login(ADMIN, PASSWORD).await.unwrap();
    assert_eq!(claims(&anns).session, claims(&bobs).session);
    assert_ne!(claims(&anns).user, claims(&bobs).user);
    assert!(world.is_revoked(&bobs).await && !world.is_revoked(&anns).await);
    let request = with_caller(Request::new(LogoutRequest {}), &caller(&anns));
    replica.management.clone().logout(request).await.unwrap();
    assert!(world.is_revoked(&anns).await);
}

#[tokio::test]
async fn sign_ins_at_once_stay_within_the_number_allowed() {
    let (world, one) = World::start().await;
    let two = world.replica().await;
    let sign_ins = (0..24).map(|turn| [&one, &two][turn % 2].login(ADMIN, PASSWORD));
    let tokens = futures::future::join_all(sign_ins).await;
    let tokens: Vec<_> = tokens.into_iter().map(Result::unwrap).collect();
    let mut alive = 0;
    for token in &tokens {
        alive += usize::from(!world.is_revoked(token).await);
    }
    assert_eq!(alive, 10);
}

#[tokio::test]
async fn nobody_signs_in_to_a_suspended_tenant() {
    let (world, replica) = World::start().await;
    let token = replica.login(ADMIN, PASSWORD).await.unwrap();
    let tenant = claims(&token).tenant.to_string();
    assert!(replica.set_suspended(&tenant, true).await.suspended);
    assert!(world.is_revoked(&token).await);
    let refused = replica.login(ADMIN, PASSWORD).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    assert!(!replica.set_suspended(&tenant, false).await.suspended);
    replica.login(ADMIN, PASSWORD).await.unwrap();
}
