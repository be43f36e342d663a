//! What gateways are told about tokens, by several replicas.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use ring::signature::{ED25519, UnparsedPublicKey};
use rota_auth::SigningKeys;
use rota_deviceauth::{Config, SCHEMA};
use rota_proto::{
    deviceauth::v1::Status as DeviceStatus,
    trust::v1::{Revocation, Snapshot, TrustUpdate, WatchRequest, trust_update::Update},
};
use rota_runtime::with_caller;
use rota_types::Permission;
use sqlx::{AssertSqlSafe, Executor};
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Streaming};

use crate::world::{Replica, TestDevice, World, service, user};

/// How soon a gateway must know.
const SECOND: Duration = Duration::from_secs(1);

/// Longer than any replica takes to come (back) to its senses.
const PATIENCE: Duration = Duration::from_secs(20);

struct Watch(Streaming<TrustUpdate>);

impl Watch {
    /// A stream of a replica that knows, and its first message.
    async fn open(world: &World, replica: &Replica) -> (Self, Snapshot) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::attempt(world, replica).await {
                Ok(mut watch) => match watch.next().await {
                    Update::Snapshot(snapshot) => return (watch, snapshot),
                    update => panic!("a snapshot comes first, not {update:?}"),
                },
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
            assert!(Instant::now() < deadline, "the replica never came to know");
            tokio::task::yield_now().await;
        }
    }

    async fn attempt(world: &World, replica: &Replica) -> Result<Self, tonic::Status> {
        let request = with_caller(Request::new(WatchRequest {}), &service(world.tenant));
        Ok(Self(replica.trust.clone().watch(request).await?.into_inner()))
    }

    async fn next(&mut self) -> Update {
        let update = timeout(PATIENCE, self.0.message()).await.expect("something is said");
        update.unwrap().expect("the stream goes on").update.expect("no message is empty")
    }

    /// The next message that is not a heartbeat.
    async fn news(&mut self) -> Update {
        loop {
            match self.next().await {
                Update::Heartbeat(_) => {}
                update => return update,
            }
        }
    }
}

/// Whether a token's signature is that of the key it names.
fn holds(token: &str, keys: &Snapshot) -> bool {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header = message.split('.').next().unwrap();
    let header: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    keys.keys.iter().any(|key| {
        key.id == header["kid"]
            && UnparsedPublicKey::new(&ED25519, &key.ed25519)
                .verify(message.as_bytes(), &signature)
                .is_ok()
    })
}

#[tokio::test]
async fn racing_replicas_make_one_key_and_believe_each_other() {
    let world = World::new().await;
    // Connected beforehand: a schema is prepared by one after the other.
    let mut connected = Vec::new();
    for _ in 0..6 {
        connected.push(world.database.connect(&SCHEMA).await);
    }
    let replicas = connected.into_iter().map(|db| world.replica_on(db));
    let replicas = futures::future::join_all(replicas).await;
    let device = TestDevice::new("a");
    replicas[0].accept(&world.manager(), &device).await;
    let (_, first) = Watch::open(&world, &replicas[0]).await;
    assert_eq!(first.keys.len(), 1);
    for replica in &replicas {
        let token = replica.authenticate(&device).await.unwrap();
        assert!(holds(&token, &first));
    }
    // A clock that is behind has nothing to wait for.
    world.clock.advance(TimeDelta::seconds(-5));
    assert!(holds(&replicas[1].authenticate(&device).await.unwrap(), &first));
    // The private half is for nobody but the service's own role.
    let readable: bool = sqlx::query_scalar(
        "select has_table_privilege('rota_deviceauth_hot', 'deviceauth.signing_keys', 'select')",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert!(!readable);
}

#[tokio::test]
async fn a_revocation_reaches_the_watchers_of_every_replica_within_a_second() {
    let world = World::new().await;
    let (one, two) = (world.replica().await, world.replica().await);
    let manager = world.manager();
    let mut sets = Vec::new();
    for number in 0..5 {
        sets.push(one.accept(&manager, &TestDevice::new(&number.to_string())).await);
    }
    let (mut watch, snapshot) = Watch::open(&world, &two).await;
    assert!(snapshot.revocations.is_empty());
    for (id, set) in &sets {
        let asked = Instant::now();
        one.decide(&manager, id, set, DeviceStatus::Rejected).await.unwrap();
        let Update::Revocation(Revocation { subject, epoch, expires_at }) = watch.news().await
        else {
            panic!("a revocation is news");
        };
        assert!(asked.elapsed() < SECOND, "{:?}", asked.elapsed());
        assert_eq!((&subject, epoch), (set, 2));
        // Longer than the longest-lived token, whose life is 24 hours.
        let token_end = 1_800_000_000 + 86_400;
        assert!((token_end..token_end + 3600).contains(&expires_at), "{expires_at}");
    }
    // Each replica hears of it by itself: what is not in its first message is in the next ones.
    let (mut watch, snapshot) = Watch::open(&world, &one).await;
    let mut revoked: BTreeSet<String> = snapshot.revocations.into_iter().map(subject).collect();
    let deadline = Instant::now() + PATIENCE;
    while revoked.len() < sets.len() {
        assert!(Instant::now() < deadline, "{} of {} are known", revoked.len(), sets.len());
        match watch.next().await {
            Update::Revocation(revocation) => revoked.extend([subject(revocation)]),
            Update::Snapshot(all) => revoked.extend(all.revocations.into_iter().map(subject)),
            Update::Heartbeat(_) => {}
        }
    }
    assert_eq!(revoked, sets.into_iter().map(|(_, set)| set).collect());
}

fn subject(revocation: Revocation) -> String {
    revocation.subject
}

#[tokio::test]
async fn heartbeats_come_several_times_a_second() {
    let (world, replica) = World::start().await;
    let (mut watch, _) = Watch::open(&world, &replica).await;
    for _ in 0..4 {
        let asked = Instant::now();
        assert!(matches!(watch.next().await, Update::Heartbeat(_)));
        assert!(asked.elapsed() < SECOND);
    }
}

#[tokio::test]
async fn a_replica_that_lost_its_database_says_nothing_until_it_knows_again() {
    let (world, replica) = World::start().await;
    let (id, set) = replica.accept(&world.manager(), &TestDevice::new("a")).await;
    let (mut watch, _) = Watch::open(&world, &replica).await;
    // Connected already, and left alone when everybody else is put out.
    let mut owner = world.owner().await;
    let mut outside = world.outside().await;
    let database: String =
        sqlx::query_scalar("select current_database()").fetch_one(&mut owner).await.unwrap();
    let allow = |allowed: bool| {
        AssertSqlSafe(format!("alter database {database} allow_connections {allowed}"))
    };
    outside.execute(allow(false)).await.unwrap();
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(&mut owner)
    .await
    .unwrap();

    // Heartbeats that were under way may still come; then the stream falls silent and ends.
    let ended = timeout(PATIENCE, async {
        loop {
            match watch.0.message().await {
                Ok(Some(TrustUpdate { update: Some(Update::Heartbeat(_)) })) => {}
                other => return other,
            }
        }
    });
    assert_eq!(ended.await.unwrap().unwrap_err().code(), Code::Unavailable);
    let refused = Watch::attempt(&world, &replica).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    // What is revoked meanwhile is in the first words afterwards.
    sqlx::query(
        "insert into deviceauth.revocations (subject, tenant_id, epoch, expires_at)
         values ($1::uuid, $2, 9, now() + interval '10 years')",
    )
    .bind(&set)
    .bind(world.tenant.uuid())
    .execute(&mut owner)
    .await
    .unwrap();
    outside.execute(allow(true)).await.unwrap();
    let (mut watch, snapshot) = Watch::open(&world, &replica).await;
    let revoked: Vec<_> = snapshot.revocations.iter().map(|it| (&it.subject, it.epoch)).collect();
    assert_eq!(revoked, [(&set, 9)]);
    assert!(matches!(watch.next().await, Update::Heartbeat(_)));
    assert_eq!(replica.get(&world.manager(), &id).await.unwrap().id, id);
}

#[tokio::test]
async fn a_cut_connection_alone_costs_a_watcher_nothing() {
    let (world, replica) = World::start().await;
    let (id, set) = replica.accept(&world.manager(), &TestDevice::new("a")).await;
    let (mut watch, _) = Watch::open(&world, &replica).await;
    let cut: bool = sqlx::query_scalar(
        "select bool_and(pg_terminate_backend(pid)) from pg_stat_activity
         where datname = current_database() and query ~* '^(listen|select 1$)'
           and pid <> pg_backend_pid()",
    )
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    assert!(cut);
    // Listening anew, the replica says everything again, on the same stream.
    assert!(matches!(watch.news().await, Update::Snapshot(_)));
    replica.decide(&world.manager(), &id, &set, DeviceStatus::Rejected).await.unwrap();
    assert!(matches!(watch.news().await, Update::Revocation(it) if it.subject == set));
}

#[tokio::test]
async fn a_key_is_announced_before_it_signs_and_believed_until_its_last_token_ends() {
    let (world, old) = World::start().await;
    let device = TestDevice::new("a");
    old.accept(&world.manager(), &device).await;
    let (mut watch, first) = Watch::open(&world, &old).await;
    let old_token = old.authenticate(&device).await.unwrap();

    world.clock.advance(TimeDelta::days(91));
    let new = world.replica().await;
    let Update::Snapshot(both) = watch.news().await else { panic!("new keys are news") };
    assert_eq!(both.keys.len(), 2);
    assert!(holds(&old_token, &both));
    assert!(holds(&new.authenticate(&device).await.unwrap(), &first), "too early");
    world.clock.advance(TimeDelta::minutes(10));
    for replica in [&old, &new] {
        let token = replica.authenticate(&device).await.unwrap();
        assert!(!holds(&token, &first) && holds(&token, &both));
    }
    world.clock.advance(TimeDelta::days(1));
    let later = world.replica().await;
    let (_, last) = Watch::open(&world, &later).await;
    assert_eq!(last.keys.len(), 1);
    assert!(!holds(&old_token, &last));
}

#[tokio::test]
async fn a_key_may_lie_in_a_file_of_the_operators() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let made = SigningKeys::load_or_create(&path).unwrap();
    let config = Config { device_signing_key: Some(path), ..Config::default() };
    let world = World::with(config).await;
    let replicas = [world.replica().await, world.replica().await];
    let device = TestDevice::new("a");
    replicas[0].accept(&world.manager(), &device).await;
    let (_, keys) = Watch::open(&world, &replicas[1]).await;
    assert_eq!(keys.keys.len(), 1);
    assert_eq!(keys.keys[0].id, made.key_id());
    assert!(holds(&replicas[1].authenticate(&device).await.unwrap(), &keys));
    let kept: i64 = sqlx::query_scalar("select count(private_key) from deviceauth.signing_keys")
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn only_services_may_watch() {
    let (world, replica) = World::start().await;
    let caller = user(world.tenant, Permission::Manage);
    let request = with_caller(Request::new(WatchRequest {}), &caller);
    let refused = replica.trust.clone().watch(request).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
