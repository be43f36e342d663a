//! The store against a real Postgres: walls, transactions, events, notifications, migrations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod events;
mod listener;
mod losses;
mod migrations;
mod transactions;
mod walls;

use rota_store::{Database, Migrator, Schema, TenantTx, sqlx};
use rota_testkit::TestDatabase;
use rota_types::TenantId;
use uuid::Uuid;

static MIGRATOR: Migrator = sqlx::migrate!("tests/it/migrations");
static SCHEMA: Schema = Schema::new("probe", &MIGRATOR, "1.2.3");

async fn probe() -> (Database, TestDatabase) {
    let test = TestDatabase::new(&[&SCHEMA]).await;
    (test.connect(&SCHEMA).await, test)
}

async fn add_thing(tx: &mut TenantTx, name: &str) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    sqlx::query("insert into probe.things (tenant_id, id, name) values ($1, $2, $3)")
        .bind(tx.tenant().uuid())
        .bind(id)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

async fn names(db: &Database, tenant: TenantId) -> Vec<String> {
    let mut tx = db.tenant(tenant).await.unwrap();
    sqlx::query_scalar("select name from probe.things order by name")
        .fetch_all(&mut *tx)
        .await
        .unwrap()
}
