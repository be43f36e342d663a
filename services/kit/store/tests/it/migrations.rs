//! Starting on databases of every age, alone and at the same time.

use std::borrow::Cow;

use rota_store::{
    ConnectError, Database, DatabaseSettings, Migrator, NotReady, Schema,
    sqlx::{self, Executor, SqlStr, migrate::Migration, migrate::MigrationType},
};
use rota_testkit::TestDatabase;
use secrecy::ExposeSecret;

use crate::{MIGRATOR, SCHEMA};

fn leaked(migrations: Vec<(i64, &'static str)>) -> &'static Migrator {
    let migrations = migrations
        .into_iter()
        .map(|(version, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(version, Cow::Borrowed("test"), kind, SqlStr::from_static(sql), false)
        })
        .collect();
    Box::leak(Box::new(Migrator::with_migrations(migrations)))
}

#[tokio::test]
async fn many_starts_at_the_same_time_on_several_databases_all_succeed() {
    // Schemas of this test alone, so that its roles are new to the cluster.
    static RACERS: [Schema; 2] =
        [Schema::new("racer_a", &NONE, "1.0.0"), Schema::new("racer_b", &NONE, "1.0.0")];
    static NONE: Migrator = Migrator { migrations: Cow::Borrowed(&[]), ..Migrator::DEFAULT };
    let databases = [TestDatabase::new(&[]).await, TestDatabase::new(&[]).await];
    let mut owner = databases[0].owner().await;
    for role in ["racer_a", "racer_a_hot", "racer_b", "racer_b_hot"] {
        let drop = format!("drop role if exists rota_{role}");
        // In use by another run's database at the worst, and then not new.
        let _ = owner.execute(sqlx::AssertSqlSafe(drop)).await;
    }
    let starts: Vec<_> = databases
        .iter()
        .flat_map(|test| (0..4).map(move |n| (test.settings(), &RACERS[n % 2])))
        .map(|(settings, schema)| {
            tokio::spawn(async move { Database::connect(&settings, schema).await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
}

/// As docs/operating.md has it: without the right to create roles, and without being the owner of
/// the database.
#[tokio::test]
async fn a_login_that_may_not_create_roles_takes_those_that_it_was_granted() {
    let schema = Schema::new("granted", leaked(Vec::new()), "1.0.0");
    let test = TestDatabase::new(&[]).await;
    let mut owner = test.owner().await;
    for role in ["rota_limited", "rota_granted", "rota_granted_hot"] {
        // Another run's; its grants went with its database.
        let drop = format!("drop role if exists {role}");
        owner.execute(sqlx::AssertSqlSafe(drop)).await.unwrap();
    }
    owner
        .execute(
            "create role rota_limited login password 'limited';
             do $$ begin
                 execute format('grant create on database %I to rota_limited', current_database());
             end $$",
        )
        .await
        .unwrap();
    let (_, place) = test.url().expose_secret().split_once('@').unwrap();
    let limited = || {
        let url = format!("postgres://rota_limited:limited@{place}");
        DatabaseSettings { url: url.into(), ..test.settings() }
    };
    let error = Database::connect(&limited(), &schema).await;
    assert!(matches!(error, Err(ConnectError::Roles { .. })), "{error:?}");
    owner
        .execute(
            "create role rota_granted nologin;
             create role rota_granted_hot nologin;
             grant rota_granted, rota_granted_hot to rota_limited",
        )
        .await
        .unwrap();
    let db = Database::connect(&limited(), &schema).await.unwrap();
    let role: String =
        sqlx::query_scalar("select current_user::text").fetch_one(db.hot()).await.unwrap();
    assert_eq!(role, "rota_granted_hot");
}

#[tokio::test]
async fn a_table_without_a_wall_stops_the_start() {
    let test = TestDatabase::new(&[]).await;
    let forgotten = leaked(vec![(1, "create table forgotten (id uuid primary key)")]);
    let error =
        Database::connect(&test.settings(), &Schema::new("probe", forgotten, "1.0.0")).await;
    let Err(ConnectError::Unwalled { tables, .. }) = error else { panic!("{error:?}") };
    assert_eq!(tables, ["table forgotten: call rota_tenant_table or rota_platform_table"]);
}

#[tokio::test]
async fn a_key_that_does_not_begin_with_the_tenant_stops_the_start() {
    let test = TestDatabase::new(&[]).await;
    let wrong = leaked(vec![(
        1,
        "create table wrong (id uuid, tenant_id uuid, primary key (id, tenant_id));
         select rota_tenant_table('wrong')",
    )]);
    let error = Database::connect(&test.settings(), &Schema::new("probe", wrong, "1.0.0")).await;
    let Err(ConnectError::Unwalled { tables, .. }) = error else { panic!("{error:?}") };
    assert_eq!(tables, ["table wrong: its primary key must begin with tenant_id"]);
}

#[tokio::test]
async fn an_old_binary_starts_on_a_newer_schema_until_that_contracts() {
    let test = TestDatabase::new(&[&SCHEMA]).await;
    let db = test.connect(&SCHEMA).await;
    let mut newer: Vec<_> = MIGRATOR.iter().cloned().collect();
    let expand = "alter table probe.things add column color text;
                  select rota_oldest_binary('1.2.3')";
    let kind = MigrationType::Simple;
    newer.push(Migration::new(2, "expand".into(), kind, SqlStr::from_static(expand), false));
    let newer: &'static Migrator = Box::leak(Box::new(Migrator::with_migrations(newer)));
    let newer = Schema::new("probe", newer, "1.3.0");
    test.connect(&newer).await.check().await.unwrap();
    db.check().await.unwrap();
    test.connect(&SCHEMA).await.check().await.unwrap();

    test.owner()
        .await
        .execute("set search_path = probe; select rota_oldest_binary('1.3.0')")
        .await
        .unwrap();
    let error = db.check().await.unwrap_err();
    assert!(matches!(&error, NotReady::TooOld { oldest, .. } if oldest == "1.3.0"), "{error:?}");
    let start = Database::connect(&test.settings(), &SCHEMA).await;
    assert!(matches!(start, Err(ConnectError::NotReady(NotReady::TooOld { .. }))), "{start:?}");
    test.connect(&newer).await.check().await.unwrap();
}

#[tokio::test]
async fn a_changed_migration_stops_the_start() {
    let test = TestDatabase::new(&[]).await;
    let before = Schema::new("probe", leaked(vec![(1, "select 1")]), "1.0.0");
    test.connect(&before).await;
    let after = Schema::new("probe", leaked(vec![(1, "select 2")]), "1.0.0");
    let error = Database::connect(&test.settings(), &after).await;
    assert!(matches!(error, Err(ConnectError::Migration { .. })), "{error:?}");
}

#[tokio::test]
async fn a_url_that_is_none_and_a_server_that_is_away_are_told_apart() {
    let mut settings = DatabaseSettings::new("nonsense");
    let error = Database::connect(&settings, &SCHEMA).await;
    assert!(matches!(error, Err(ConnectError::Url(_))), "{error:?}");
    settings.url = "postgres://rota@127.0.0.1:1/rota".into();
    settings.connect_timeout = std::time::Duration::from_millis(300);
    let error = Database::connect(&settings, &SCHEMA).await;
    assert!(matches!(error, Err(ConnectError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_behind() {
    let test = TestDatabase::new(&[&SCHEMA]).await;
    let db = test.connect(&SCHEMA).await;
    let mut owner = test.owner().await;
    owner
        .execute(
            "set search_path = probe;
             create table outbox_20200101 partition of outbox
                 for values from ('2020-01-01Z') to ('2020-01-02Z');
             create table outbox_20200102 partition of outbox
                 for values from ('2020-01-02Z') to ('2020-01-03Z');
             create table inbox_20200101 partition of inbox
                 for values from ('2020-01-01Z') to ('2020-01-02Z');
             insert into outbox (created_at, id, tenant_id, entity, entity_id, revision, kind,
                                 version, actor, request_id, data, published_at)
             select day, gen_random_uuid(), gen_random_uuid(), 'e', '1', 1, 'k', 1, '{}', 'r',
                    '{}', published
             from (values ('2020-01-01Z'::timestamptz, now()), ('2020-01-02Z', null))
                 as rows (day, published);
             drop table outbox_default;
             do $$ begin
                 execute format('drop table outbox_%s', to_char(now() at time zone 'utc', 'YYYYMMDD'));
             end $$;
             create table outbox_default partition of outbox default;
             insert into outbox (id, tenant_id, entity, entity_id, revision, kind, version, actor,
                                 request_id, data)
             values (gen_random_uuid(), gen_random_uuid(), 'e', '1', 1, 'k', 1, '{}', 'r', '{}')",
        )
        .await
        .unwrap();
    // As the service's role, which may not make or drop tables itself.
    let mut tx = db.platform().await.unwrap();
    tx.execute("select rota_roll_partitions()").await.unwrap();
    tx.commit().await.unwrap();
    let exists = async |name: &str| -> bool {
        let mut owner = test.owner().await;
        let name = format!("probe.{name}");
        sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(name)
            .fetch_one(&mut owner)
            .await
            .unwrap()
    };
    assert!(!exists("outbox_20200101").await, "had its time");
    assert!(exists("outbox_20200102").await, "an event in it waits to be published");
    assert!(!exists("inbox_20200101").await, "had its time");
    let left: i64 = sqlx::query_scalar("select count(*) from probe.outbox_default")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(left, 0, "moved to the day's partition");
    let all: i64 = sqlx::query_scalar("select count(*) from probe.outbox")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(all, 2);
}
