//! Starting, using, stopping and losing a private Postgres.

use std::time::Duration;

use rota_stack::{Durability, Lifetime, Postgres, PostgresOptions, StackError};
use secrecy::ExposeSecret;
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::{eventually, is_alive, postmaster, tempdir};

fn fast(dir: &std::path::Path) -> PostgresOptions {
    PostgresOptions { durability: Durability::Fast, ..PostgresOptions::new(dir) }
}

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect(postgres.url().expose_secret()).await.unwrap()
}

#[tokio::test]
async fn data_outlives_an_orderly_stop() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let postgres = Postgres::start(PostgresOptions::new(&dir)).await.unwrap();
    let mut connection = connect(&postgres).await;
    connection.execute("create table kept (n integer)").await.unwrap();
    connection.execute("create role a_role nologin").await.unwrap();
    let settings = "select current_setting('fsync'), current_setting('listen_addresses')";
    let row = connection.fetch_one(settings).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("on", ""));
    let owner = "select rolsuper from pg_roles where rolname = current_user";
    assert!(!connection.fetch_one(owner).await.unwrap().get::<bool, _>(0), "no superuser");
    postgres.stop().await;
    assert_eq!(postmaster(&dir), None);

    let postgres = Postgres::start(PostgresOptions::new(&dir)).await.unwrap();
    connect(&postgres).await.execute("select n from kept").await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let postgres = Postgres::start(fast(&dir)).await.unwrap();
    let second = Postgres::start(fast(&dir)).await;
    assert!(matches!(second, Err(StackError::InUse { .. })), "{second:?}");
    connect(&postgres).await;
    postgres.stop().await;
}

#[tokio::test]
async fn dropping_the_owner_stops_the_server() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let postgres = Postgres::start(fast(&dir)).await.unwrap();
    let pid = postmaster(&dir).unwrap();
    drop(postgres);
    eventually("the server stops", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_start_that_was_cut_short_begins_anew() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let postgres = Postgres::start(fast(&dir)).await.unwrap();
    postgres.stop().await;
    std::fs::rename(dir.join("data"), dir.join("data.unfinished")).unwrap();
    let postgres = Postgres::start(fast(&dir)).await.unwrap();
    connect(&postgres).await;
    postgres.stop().await;
    assert!(!dir.join("data.unfinished").exists());
}

#[tokio::test]
async fn a_shared_server_serves_all_and_leaves_with_the_last() {
    let dir = tempdir();
    let dir = dir.path().join("pg");
    let shared =
        || PostgresOptions { lifetime: Lifetime::Shared { idle: Duration::ZERO }, ..fast(&dir) };
    let (one, two) = tokio::join!(Postgres::start(shared()), Postgres::start(shared()));
    let (one, two) = (one.unwrap(), two.unwrap());
    let pid = postmaster(&dir).unwrap();
    drop(one);
    let mut connection = connect(&two).await;
    connection.execute("select pg_sleep(3)").await.unwrap();
    assert_eq!(postmaster(&dir), Some(pid), "one user is left");
    drop((connection, two));
    eventually("the server leaves", || !is_alive(pid)).await;
    eventually("and takes its data along", || !dir.join("data").exists()).await;

    let again = Postgres::start(shared()).await.unwrap();
    connect(&again).await;
}
