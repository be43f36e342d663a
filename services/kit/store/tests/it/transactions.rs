//! Commit, conflict, and what errors mean.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use rota_store::{
    check_violation, error_code, is_retryable, is_unavailable,
    sqlx::{self, Executor},
    unique_violation,
};
use rota_types::{ErrorCode, TenantId};
use tokio::sync::Barrier;

use crate::{add_thing, names, probe};

#[tokio::test]
async fn what_is_not_committed_is_gone() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    add_thing(&mut tx, "dropped").await.unwrap();
    drop(tx);
    let mut tx = db.tenant(tenant).await.unwrap();
    add_thing(&mut tx, "rolled back").await.unwrap();
    tx.rollback().await.unwrap();
    assert!(names(&db, tenant).await.is_empty());
}

#[tokio::test]
async fn constraints_are_told_by_name() {
    let (db, _test) = probe().await;
    let mut tx = db.tenant(TenantId::mint()).await.unwrap();
    add_thing(&mut tx, "same").await.unwrap();
    let error = add_thing(&mut tx, "same").await.unwrap_err();
    assert_eq!(unique_violation(&error), Some("things_name_unique"));
    assert_eq!(check_violation(&error), None);
    assert_eq!(error_code(&error), ErrorCode::Internal);

    let mut tx = db.tenant(TenantId::mint()).await.unwrap();
    add_thing(&mut tx, "small").await.unwrap();
    let error = tx.execute("update probe.things set size = -1").await.unwrap_err();
    assert_eq!(check_violation(&error), Some("things_size_positive"));
}

/// Two transactions that take two rows in opposite order: one of them must lose, and both
/// must succeed in the end.
#[tokio::test]
async fn a_transaction_that_lost_is_run_again() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    let mut tx = db.tenant(tenant).await.unwrap();
    let first = add_thing(&mut tx, "first").await.unwrap();
    let second = add_thing(&mut tx, "second").await.unwrap();
    tx.commit().await.unwrap();

    let barrier = Arc::new(Barrier::new(2));
    let runs = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = [[first, second], [second, first]]
        .into_iter()
        .map(|order| {
            let (db, barrier, runs) = (db.clone(), Arc::clone(&barrier), Arc::clone(&runs));
            tokio::spawn(async move {
                let first_run = AtomicBool::new(true);
                let (barrier, runs, first_run) = (&barrier, &runs, &first_run);
                db.in_tenant(tenant, async |mut tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    for (at, id) in order.into_iter().enumerate() {
                        sqlx::query("update probe.things set size = size + 1 where id = $1")
                            .bind(id)
                            .execute(&mut *tx)
                            .await?;
                        if at == 0 && first_run.swap(false, Ordering::Relaxed) {
                            barrier.wait().await;
                        }
                    }
                    Ok::<_, sqlx::Error>(())
                })
                .await
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(runs.load(Ordering::Relaxed), 3, "one of the two ran twice");
    let mut tx = db.tenant(tenant).await.unwrap();
    let sizes: Vec<i32> =
        sqlx::query_scalar("select size from probe.things").fetch_all(&mut *tx).await.unwrap();
    assert_eq!(sizes, [2, 2], "each effect once");
}

#[tokio::test]
async fn errors_of_ones_own_are_not_repeated() {
    #[derive(Debug, thiserror::Error)]
    enum Refused {
        #[error("database")]
        Database(#[from] sqlx::Error),
        #[error("no")]
        No,
    }
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    let runs = AtomicU32::new(0);
    let result = db
        .in_tenant(tenant, async |mut tx| {
            runs.fetch_add(1, Ordering::Relaxed);
            add_thing(&mut tx, "gone").await?;
            Err::<(), _>(Refused::No)
        })
        .await;
    assert!(matches!(result, Err(Refused::No)));
    assert_eq!(runs.into_inner(), 1);
    assert!(names(&db, tenant).await.is_empty());
}

#[tokio::test]
async fn work_may_commit_or_roll_back_by_itself() {
    let (db, _test) = probe().await;
    let tenant = TenantId::mint();
    db.in_tenant(tenant, async |mut tx| {
        add_thing(&mut tx, "committed").await?;
        tx.commit().await
    })
    .await
    .unwrap();
    db.in_tenant(tenant, async |mut tx| {
        add_thing(&mut tx, "thought better of").await?;
        tx.rollback().await
    })
    .await
    .unwrap();
    assert_eq!(names(&db, tenant).await, ["committed"]);
}

#[tokio::test]
async fn a_killed_connection_is_an_outage_and_the_next_is_fresh() {
    let (db, test) = probe().await;
    let mut tx = db.tenant(TenantId::mint()).await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut *tx).await.unwrap();
    let mut owner = test.owner().await;
    sqlx::query("select pg_terminate_backend($1)").bind(pid).execute(&mut owner).await.unwrap();
    let error = tx.execute("select 1").await.unwrap_err();
    assert!(is_unavailable(&error), "{error:?}");
    assert!(!is_retryable(&error));
    assert_eq!(error_code(&error), ErrorCode::Unavailable);
    drop(tx);
    db.tenant(TenantId::mint()).await.unwrap().execute("select 1").await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_database_is_not_noticed_between_transactions() {
    let (db, test) = probe().await;
    let tenant = TenantId::mint();
    let open = futures::future::try_join_all((0..4).map(|_| db.tenant(tenant))).await.unwrap();
    for tx in open {
        tx.rollback().await.unwrap();
    }
    let mut owner = test.owner().await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid()";
    owner.execute(kill).await.unwrap();
    for _ in 0..4 {
        let mut tx = db.tenant(tenant).await.unwrap();
        add_thing(&mut tx, &uuid::Uuid::now_v7().to_string()).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_has_a_deadline() {
    let (_, test) = probe().await;
    let mut settings = test.settings();
    settings.statement_timeout = std::time::Duration::from_millis(50);
    let db = rota_store::Database::connect(&settings, &crate::SCHEMA).await.unwrap();
    let mut tx = db.platform().await.unwrap();
    let error = tx.execute("select pg_sleep(60)").await.unwrap_err();
    assert_eq!(error_code(&error), ErrorCode::Timeout);
}
