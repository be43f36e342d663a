//! Notifications from Postgres, with an honest word about what may have been missed.

use std::time::Duration;

use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, timeout};

use crate::Database;

/// How often the connection is tried. With [`ANSWER`] this bounds how long a listener that
/// hears nothing any more believes that all is quiet.
const HEARTBEAT: Duration = Duration::from_millis(300);

/// How long the database may take to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// The pause before the next attempt to connect.
const RETRY: Duration = Duration::from_millis(200);

/// What a listener has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Listening, from now on. What happened before was not heard: read the state anew.
    Connected,
    /// Someone notified.
    Notified {
        /// The channel.
        channel: String,
        /// What was said.
        payload: String,
    },
    /// The connection still stands, and everything notified until now was heard. Comes about
    /// three times a second.
    Alive,
    /// Not listening any more. Until the next [`Signal::Connected`] nothing is known.
    Lost,
}

/// Listens on channels of Postgres (`listen`/`notify`) and reconnects by itself.
///
/// A cache that follows notifications reads everything on [`Signal::Connected`], and knows
/// that it does not know from [`Signal::Lost`] on, which comes within a second of the
/// connection's end even when the peer vanished without a word.
#[derive(Debug)]
pub struct Listener {
    pool: PgPool,
    channels: Vec<String>,
    connection: Option<PgListener>,
    next_heartbeat: Instant,
    next_connect: Instant,
}

impl Listener {
    /// A listener on `channels`, over one connection of its own. Connects with the first call
    /// of [`next`](Self::next). Channels are one namespace for the whole database: begin their
    /// names with the schema's.
    pub fn new(db: &Database, channels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT)
            .connect_lazy_with(db.listening());
        Self {
            pool,
            channels: channels.into_iter().map(Into::into).collect(),
            connection: None,
            next_heartbeat: Instant::now(),
            next_connect: Instant::now(),
        }
    }

    /// Waits for the next signal. Never ends; may be dropped at any time without losing more
    /// than a [`Signal::Lost`] tells.
    pub async fn next(&mut self) -> Signal {
        loop {
            let Some(connection) = &mut self.connection else {
                if self.connect().await {
                    return Signal::Connected;
                }
                continue;
            };
            let heard = tokio::time::timeout_at(self.next_heartbeat, connection.try_recv()).await;
            match heard {
                Ok(Ok(Some(notification))) => {
                    return Signal::Notified {
                        channel: notification.channel().to_owned(),
                        payload: notification.payload().to_owned(),
                    };
                }
                Ok(Ok(None) | Err(_)) => return self.lose(),
                Err(_) => {
                    self.next_heartbeat = Instant::now() + HEARTBEAT;
                    let ping = sqlx::query("select 1").execute(connection);
                    return match timeout(ANSWER, ping).await {
                        Ok(Ok(_)) => Signal::Alive,
                        Ok(Err(_)) | Err(_) => self.lose(),
                    };
                }
            }
        }
    }

    async fn connect(&mut self) -> bool {
        tokio::time::sleep_until(self.next_connect).await;
        self.next_connect = Instant::now() + RETRY;
        let connecting = async {
            let mut connection = PgListener::connect_with(&self.pool).await?;
            connection.eager_reconnect(false);
            connection.listen_all(self.channels.iter().map(String::as_str)).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match timeout(CONNECT, connecting).await {
            Ok(Ok(connection)) => {
                self.connection = Some(connection);
                self.next_heartbeat = Instant::now() + HEARTBEAT;
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, channels = ?self.channels, "cannot listen");
                false
            }
            Err(_) => false,
        }
    }

    fn lose(&mut self) -> Signal {
        tracing::warn!(channels = ?self.channels, "listening connection lost");
        self.connection = None;
        Signal::Lost
    }
}
