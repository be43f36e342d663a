//! Nobody sees another tenant's rows, and no table is forgotten.

use rota_store::sqlx::{self, Executor};
use rota_types::TenantId;

use crate::{add_thing, names, probe};

/// Postgres's code for a refused right.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(std::borrow::Cow::into_owned)
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_and_no_other() {
    let (db, _test) = probe().await;
    let (one, two) = (TenantId::mint(), TenantId::mint());
    for (tenant, name) in [(one, "of one"), (two, "of two")] {
        let mut tx = db.tenant(tenant).await.unwrap();
        add_thing(&mut tx, name).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(names(&db, one).await, ["of one"]);
    assert_eq!(names(&db, two).await, ["of two"]);

    let mut tx = db.tenant(one).await.unwrap();
    let reach = sqlx::query("update probe.things set name = 'taken' where tenant_id = $1")
        .bind(two.uuid())
        .execute(&mut *tx)
        .await
        .unwrap();
    assert_eq!(reach.rows_affected(), 0);
    tx.commit().await.unwrap();
    assert_eq!(names(&db, two).await, ["of two"]);
}

#[tokio::test]
async fn a_tenant_cannot_write_rows_of_another() {
    let (db, _test) = probe().await;
    let mut tx = db.tenant(TenantId::mint()).await.unwrap();
    let refused = sqlx::query(
        "insert into probe.things (tenant_id, id, name) values ($1, gen_random_uuid(), 'x')",
    )
    .bind(TenantId::mint().uuid())
    .execute(&mut *tx)
    .await
    .unwrap_err();
    assert_eq!(code(&refused).as_deref(), Some(INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn the_tenant_does_not_stay_on_the_connection() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    add_thing(&mut tx, "mine").await.unwrap();
    tx.commit().await.unwrap();
    // The pool has one idle connection, and hands that one out.
    let mut tx = db.platform().await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("select count(*) from probe.things").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(seen, 0, "without a tenant there is nothing to see");
}

#[tokio::test]
async fn hot_reads_reach_hot_tables_only_and_write_nothing() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    add_thing(&mut tx, "hot").await.unwrap();
    tx.commit().await.unwrap();
    let found: Vec<String> =
        sqlx::query_scalar("select name from probe.things where tenant_id = $1")
            .bind(tenant.uuid())
            .fetch_all(db.hot())
            .await
            .unwrap();
    assert_eq!(found, ["hot"]);
    for refused in [
        "select * from probe.secrets",
        "delete from probe.things",
        "update probe.things set name = 'x'",
        "insert into probe.keys values (gen_random_uuid(), 'x')",
    ] {
        let outcome = db.hot().execute(refused).await.unwrap_err();
        assert_eq!(code(&outcome).as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{refused}");
    }
}

#[tokio::test]
async fn the_services_role_owns_nothing_and_bypasses_nothing() {
    let (db, _test) = probe().await;
    let mut tx = db.platform().await.unwrap();
    let role: (String, bool, bool, bool) = sqlx::query_as(
        "select rolname::text, rolsuper, rolbypassrls, rolcanlogin from pg_roles
         where rolname = current_user",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    assert_eq!(role, ("rota_probe".to_owned(), false, false, false));
    let owned: i64 =
        sqlx::query_scalar("select count(*) from pg_class where relowner = current_user::regrole")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
    assert_eq!(owned, 0);
    for refused in [
        "alter table probe.things disable row level security",
        "drop table probe.outbox_default",
        "create table probe.mine (n integer)",
    ] {
        let mut tx = db.platform().await.unwrap();
        let refused_with = tx.execute(refused).await.unwrap_err();
        assert_eq!(code(&refused_with).as_deref(), Some(INSUFFICIENT_PRIVILEGE), "{refused}");
    }
}

#[tokio::test]
async fn platform_tables_are_there_for_everyone() {
    let (db, _test) = probe().await;
    let mut tx = db.platform().await.unwrap();
    tx.execute("insert into probe.keys values (gen_random_uuid(), 'first')").await.unwrap();
    let tenant = TenantId::mint();
    let mut tx = tx.enter(tenant).await.unwrap();
    add_thing(&mut tx, "with the key").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(names(&db, tenant).await, ["with the key"]);
    let keys: i64 =
        sqlx::query_scalar("select count(*) from probe.keys").fetch_one(db.hot()).await.unwrap();
    assert_eq!(keys, 1);
}
