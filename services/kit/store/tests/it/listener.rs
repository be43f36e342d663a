//! Hearing notifications, and knowing when one hears nothing.

use std::time::Duration;

use rota_store::{Listener, Signal, sqlx};
use tokio::time::timeout;

use crate::probe;

/// The next signal that is not a heartbeat.
async fn next(listener: &mut Listener) -> Signal {
    let hearing = async {
        loop {
            match listener.next().await {
                Signal::Alive => {}
                signal => return signal,
            }
        }
    };
    timeout(Duration::from_secs(10), hearing).await.expect("a signal within ten seconds")
}

#[tokio::test]
async fn a_listener_hears_its_channels_and_says_when_it_lost_them() {
    let (db, test) = probe().await;
    let mut owner = test.owner().await;
    let mut listener = Listener::new(&db, ["probe_changed"]);
    assert_eq!(next(&mut listener).await, Signal::Connected);
    for (channel, payload) in [("probe_other", "no"), ("probe_changed", "yes")] {
        sqlx::query("select pg_notify($1, $2)")
            .bind(channel)
            .bind(payload)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let heard = Signal::Notified { channel: "probe_changed".into(), payload: "yes".into() };
    assert_eq!(next(&mut listener).await, heard);
    assert_eq!(listener.next().await, Signal::Alive, "quiet, and known to be");

    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    assert_eq!(next(&mut listener).await, Signal::Lost);
    assert_eq!(next(&mut listener).await, Signal::Connected);
}
