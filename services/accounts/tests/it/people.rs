//! People look after their accounts, and managers after the others'.

use rota_proto::accounts::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UpdateSelfRequest,
    UpdateUserRequest, User,
};
use rota_runtime::{Failure, with_caller};
use rota_types::{Caller, ErrorCode, Permission};
use tonic::Request;
use uuid::Uuid;

use crate::world::{ADMIN, PASSWORD, Replica, World, caller, claims};

const NEW_PASSWORD: &str = "battery staple";
const OBSERVER: &str = "RBAC_ROLE_OBSERVER";

impl Replica {
    async fn users(&self, caller: &Caller, request: ListUsersRequest) -> Vec<User> {
        let request = with_caller(Request::new(request), caller);
        self.management.clone().list_users(request).await.unwrap().into_inner().users
    }

    async fn user(&self, caller: &Caller, id: &str) -> Result<User, Failure> {
        let request = with_caller(Request::new(GetUserRequest { id: id.to_owned() }), caller);
        Ok(self.management.clone().get_user(request).await?.into_inner())
    }

    async fn edit_self(&self, caller: &Caller, edit: UpdateSelfRequest) -> Result<(), Failure> {
        let request = with_caller(Request::new(edit), caller);
        Ok(self.management.clone().update_self(request).await.map(drop)?)
    }

    async fn edit(&self, caller: &Caller, edit: UpdateUserRequest) -> Result<(), Failure> {
        let request = with_caller(Request::new(edit), caller);
        Ok(self.management.clone().update_user(request).await.map(drop)?)
    }

    async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        let request = with_caller(Request::new(DeleteUserRequest { id: id.to_owned() }), caller);
        Ok(self.management.clone().delete_user(request).await.map(drop)?)
    }
}

#[tokio::test]
async fn people_are_added_with_fit_passwords_and_known_roles_alone() {
    let (_world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let id = replica.add(&admin, "Bob@Example.com", &[]).await.unwrap();
    let bob = replica.user(&admin, &id).await.unwrap();
    assert_eq!((bob.email.as_str(), bob.last_login), ("bob@example.com", None));
    assert_eq!(bob.roles, ["RBAC_ROLE_PERMIT_ALL"]);
    let claims = claims(&replica.login("bob@example.com", PASSWORD).await.unwrap());
    assert_eq!((claims.user.to_string(), claims.tenant), (id, admin.tenant));

    let code = async |email: &str, password: &str, role: &str| {
        let request = CreateUserRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            roles: vec![role.to_owned()],
        };
        let request = with_caller(Request::new(request), &admin);
        Failure::from(replica.management.clone().create_user(request).await.unwrap_err()).code
    };
    assert_eq!(code("BOB@example.com", PASSWORD, OBSERVER).await, ErrorCode::Unprocessable);
    assert_eq!(code("no address", PASSWORD, OBSERVER).await, ErrorCode::Invalid);
    assert_eq!(code("c@example.com", "short", OBSERVER).await, ErrorCode::Unprocessable);
    assert_eq!(code("c@example.com", "c@example.com", OBSERVER).await, ErrorCode::Unprocessable);
    assert_eq!(code("c@example.com", PASSWORD, "KING").await, ErrorCode::Unprocessable);
    assert_eq!(replica.users(&admin, ListUsersRequest::default()).await.len(), 2);
}

#[tokio::test]
async fn a_new_password_needs_the_present_one_and_ends_the_other_sign_ins() {
    let (world, replica) = World::start().await;
    let here = replica.login(ADMIN, PASSWORD).await.unwrap();
    let there = replica.login(ADMIN, PASSWORD).await.unwrap();
    let admin = caller(&here);
    let code = async |password: &str, current: Option<&str>| {
        let edit = UpdateSelfRequest {
            password: Some(password.to_owned()),
            current_password: current.map(str::to_owned),
            ..Default::default()
        };
        replica.edit_self(&admin, edit).await.map_err(|failure| failure.code)
    };
    let refused = Err(ErrorCode::Unprocessable);
    assert_eq!(code(NEW_PASSWORD, None).await, refused);
    assert_eq!(code(NEW_PASSWORD, Some("wrong horse")).await, refused);
    assert_eq!(code("short", Some(PASSWORD)).await, refused);
    assert!(!world.is_revoked(&there).await);

    assert_eq!(code(NEW_PASSWORD, Some(PASSWORD)).await, Ok(()));
    assert!(world.is_revoked(&there).await);
    assert!(!world.is_revoked(&here).await);
    assert_eq!(replica.login(ADMIN, PASSWORD).await.unwrap_err().code, ErrorCode::Unauthenticated);
    replica.login(ADMIN, NEW_PASSWORD).await.unwrap();
}

/// With a token that was stolen the password cannot be guessed.
#[tokio::test]
async fn the_present_password_cannot_be_tried_for_ever() {
    let (_world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let own = replica.me(&admin).await.unwrap().id;
    for _ in 0..5 {
        let edit = UpdateSelfRequest {
            password: Some(NEW_PASSWORD.to_owned()),
            current_password: Some("wrong horse".to_owned()),
            ..Default::default()
        };
        let refused = replica.edit_self(&admin, edit).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unprocessable);
        let edit = UpdateUserRequest {
            id: own.clone(),
            email: Some("ann@example.com".to_owned()),
            current_password: Some("wrong horse".to_owned()),
            ..Default::default()
        };
        let refused = replica.edit(&admin, edit).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Unprocessable);
    }
    let right = UpdateSelfRequest {
        password: Some(NEW_PASSWORD.to_owned()),
        current_password: Some(PASSWORD.to_owned()),
        ..Default::default()
    };
    let refused = replica.edit_self(&admin, right.clone()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::TooMany);
    assert!((1..=301).contains(&refused.retry_after_seconds().unwrap()), "{refused:?}");
    // Others are not hindered, nor is signing in.
    replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let bob = replica.enter("bob@example.com").await;
    replica.edit_self(&bob, right).await.unwrap();
    replica.enter(ADMIN).await;
}

#[tokio::test]
async fn a_new_address_is_the_one_to_sign_in_with() {
    let (world, replica) = World::start().await;
    let here = replica.login(ADMIN, PASSWORD).await.unwrap();
    let there = replica.login(ADMIN, PASSWORD).await.unwrap();
    let admin = caller(&here);
    replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let move_to = async |email: &str| {
        let edit = UpdateSelfRequest {
            email: Some(email.to_owned()),
            current_password: Some(PASSWORD.to_owned()),
            ..Default::default()
        };
        replica.edit_self(&admin, edit).await.map_err(|failure| failure.code)
    };
    assert_eq!(move_to("bob@example.com").await, Err(ErrorCode::Unprocessable));
    assert_eq!(move_to("Ann@example.com").await, Ok(()));
    assert!(world.is_revoked(&there).await && !world.is_revoked(&here).await);
    assert!(replica.login(ADMIN, PASSWORD).await.is_err());
    replica.login("ann@example.com", PASSWORD).await.unwrap();
    // The old address is free again.
    replica.add(&admin, ADMIN, &[]).await.unwrap();
}

#[tokio::test]
async fn managers_change_all_of_another_person_but_the_password() {
    let (world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let id = replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let token = replica.login("bob@example.com", PASSWORD).await.unwrap();
    let edit = |id: &str| UpdateUserRequest { id: id.to_owned(), ..Default::default() };

    let password = UpdateUserRequest { password: Some(NEW_PASSWORD.to_owned()), ..edit(&id) };
    let refused = replica.edit(&admin, password).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unprocessable);
    assert!(!world.is_revoked(&token).await);
    let roles =
        UpdateUserRequest { roles: vec![OBSERVER.to_owned()], set_roles: true, ..edit(&id) };
    replica.edit(&admin, roles).await.unwrap();
    assert!(world.is_revoked(&token).await, "the old roles must not live on in a token");
    let bob = replica.enter("bob@example.com").await;
    assert_eq!(bob.permissions, [Permission::Read]);

    for unknown in ["foo", &Uuid::new_v4().to_string()] {
        let moved = UpdateUserRequest { email: Some("x@example.com".to_owned()), ..edit(unknown) };
        assert_eq!(replica.edit(&admin, moved).await.unwrap_err().code, ErrorCode::NotFound);
        assert_eq!(replica.user(&admin, unknown).await.unwrap_err().code, ErrorCode::NotFound);
    }
    // One's own password is one's own here, too, with the present one.
    let own = replica.me(&admin).await.unwrap().id;
    let change = UpdateUserRequest { password: Some(NEW_PASSWORD.to_owned()), ..edit(&own) };
    let refused = replica.edit(&admin, change.clone()).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unprocessable);
    let change = UpdateUserRequest { current_password: Some(PASSWORD.to_owned()), ..change };
    replica.edit(&admin, change).await.unwrap();
    replica.login(ADMIN, NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn who_is_removed_is_signed_out_and_forgotten() {
    let (world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let id = replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let token = replica.login("bob@example.com", PASSWORD).await.unwrap();
    replica.delete(&admin, &id).await.unwrap();
    assert!(world.is_revoked(&token).await);
    assert_eq!(replica.me(&caller(&token)).await.unwrap_err().code, ErrorCode::NotFound);
    assert!(replica.login("bob@example.com", PASSWORD).await.is_err());
    replica.delete(&admin, &id).await.unwrap();
    replica.delete(&admin, "foo").await.unwrap();
    replica.add(&admin, "bob@example.com", &[]).await.unwrap();
}

#[tokio::test]
async fn lists_are_narrowed_by_every_filter() {
    let (world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let own = replica.me(&admin).await.unwrap().id;
    world.clock.advance(chrono::TimeDelta::hours(1));
    let bob = replica.add(&admin, "bob@example.com", &[]).await.unwrap();
    let ids = async |request| -> Vec<String> {
        replica.users(&admin, request).await.into_iter().map(|user| user.id).collect()
    };
    let all = ListUsersRequest::default;
    let half_past = Some(1_800_000_000 + 1800);
    assert_eq!(ids(all()).await, [own.as_str(), &bob]);
    assert_eq!(ids(ListUsersRequest { ids: vec![bob.clone()], ..all() }).await, [bob.as_str()]);
    assert!(ids(ListUsersRequest { ids: vec!["foo".to_owned()], ..all() }).await.is_empty());
    let emails = vec!["BOB@example.com".to_owned()];
    assert_eq!(ids(ListUsersRequest { emails, ..all() }).await, [bob.as_str()]);
    let emails = vec!["no address".to_owned(), "a\0@b".to_owned()];
    assert!(ids(ListUsersRequest { emails, ..all() }).await.is_empty());
    assert_eq!(ids(ListUsersRequest { created_after: half_past, ..all() }).await, [bob.as_str()]);
    assert_eq!(ids(ListUsersRequest { created_before: half_past, ..all() }).await, [own.as_str()]);
    assert_eq!(ids(ListUsersRequest { updated_after: half_past, ..all() }).await, [bob.as_str()]);
    assert_eq!(ids(ListUsersRequest { updated_before: half_past, ..all() }).await, [own.as_str()]);
    // The last two lie before what Postgres and after what chrono can say.
    for time in [i64::MAX, i64::MIN, -336_348_705_582, 8_300_000_000_000] {
        let request = ListUsersRequest { created_after: Some(time), ..all() };
        let request = with_caller(Request::new(request), &admin);
        let refused = replica.management.clone().list_users(request).await.unwrap_err();
        assert_eq!(Failure::from(refused).code, ErrorCode::Invalid, "{time}");
    }
}

#[tokio::test]
async fn observers_change_nobody() {
    let (_world, replica) = World::start().await;
    let admin = replica.enter(ADMIN).await;
    let id = replica.add(&admin, "bob@example.com", &[OBSERVER]).await.unwrap();
    let bob = replica.enter("bob@example.com").await;
    assert_eq!(replica.users(&bob, ListUsersRequest::default()).await.len(), 2);
    let code = |result: Result<(), Failure>| result.unwrap_err().code;
    let added = replica.add(&bob, "c@example.com", &[]).await.map(drop);
    assert_eq!(code(added), ErrorCode::Forbidden);
    assert_eq!(code(replica.delete(&bob, &id).await), ErrorCode::Forbidden);
    let edit = UpdateUserRequest { id, set_roles: true, ..Default::default() };
    assert_eq!(code(replica.edit(&bob, edit).await), ErrorCode::Forbidden);
}
