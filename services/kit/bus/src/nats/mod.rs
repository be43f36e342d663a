//! The bus between processes: NATS JetStream, one stream, a durable consumer per filter.
//!
//! Asks of the server nothing that nats-server 2.9 cannot do: no key-value buckets, and one
//! filter a consumer, so that a subscription with two filters has two.

mod consumer;

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self, Context,
        message::PublishMessage,
        stream::{self, LastRawMessageErrorKind, Stream},
    },
};
use async_trait::async_trait;
use rota_types::EventId;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Bus, Event, PublishError, Publisher, Receipt, SubscribeError, Subscription, attempts::Attempts,
};

/// How long the stream keeps events: as long as the outboxes do.
const KEPT: Duration = Duration::from_hours(7 * 24);

/// How long the server remembers message ids, to drop what an outbox publishes twice.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// How long one request to the server may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// The pause between attempts to reach a server that does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Where the broker is, and how to speak to it.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// `nats://[user:password@]host:port`, several separated by commas; `tls://` for TLS.
    pub url: SecretString,
    /// The name of this client in the server's lists: the service's.
    pub name: String,
    /// The stream that holds the events.
    pub stream: String,
    /// What every subject begins with.
    pub prefix: String,
    /// How many servers hold a copy of the stream: 1, 3 or 5.
    pub replicas: usize,
    /// Certificates, where the server wants TLS.
    pub tls: Option<NatsTls>,
}

impl NatsSettings {
    /// The stream `ROTA_EVENTS` with subjects `rota.event.…`, one copy, no certificates.
    pub fn new(url: impl Into<SecretString>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            stream: "ROTA_EVENTS".to_owned(),
            prefix: "rota.event".to_owned(),
            replicas: 1,
            tls: None,
        }
    }
}

/// PEM files for TLS with the broker.
#[derive(Debug, Clone)]
pub struct NatsTls {
    /// The authority that signed the server's certificate.
    pub ca: PathBuf,
    /// This client's certificate, where the server wants one.
    pub certificate: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
}

/// Why there is no bus.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not one.
    #[error("the NATS address is not of the form nats://host:port")]
    Address(#[source] std::io::Error),
    /// The client could not be set up: a certificate that cannot be read, for one.
    #[error("cannot set up the NATS client")]
    Client(#[source] async_nats::ConnectError),
}

/// Events over NATS JetStream. Cheap to clone.
///
/// A broker that is away is no error of any call but [`Publisher::publish`]: connection,
/// stream and consumers are made again as soon as it is back, also when it lost them.
#[derive(Clone)]
pub struct NatsBus(Arc<Inner>);

struct Inner {
    client: Client,
    context: Context,
    settings: NatsSettings,
    connection: watch::Receiver<Connection>,
    /// The connection (by its count) on which the stream was last seen.
    stream_seen: AtomicU64,
    attempts: Attempts,
    consumers: RwLock<Vec<&'static str>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The state of the connection to the broker.
#[derive(Debug, Clone, Copy, Default)]
struct Connection {
    /// How many connections there have been.
    count: u64,
    /// Whether the last one stands.
    up: bool,
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus").field("stream", &self.0.settings.stream).finish_non_exhaustive()
    }
}

impl NatsBus {
    /// Sets up the client. Returns before the broker is reached: what needs it waits for
    /// [`Publisher::ready`].
    pub async fn connect(settings: NatsSettings) -> Result<Self, ConnectError> {
        rota_runtime::install_crypto();
        let (state, connection) = watch::channel(Connection::default());
        let mut options = ConnectOptions::new()
            .name(&settings.name)
            .retry_on_initial_connect()
            .request_timeout(Some(REQUEST_DEADLINE))
            .connection_timeout(REQUEST_DEADLINE)
            .ping_interval(Duration::from_secs(5))
            .reconnect_delay_callback(|attempt| {
                let grown = Duration::from_millis(20 << attempt.min(6));
                grown.mul_f64(rand::random_range(0.5..1.0))
            })
            .event_callback(move |event| {
                note(&state, &event);
                std::future::ready(())
            });
        if let Some(tls) = &settings.tls {
            options = options
                .require_tls(true)
                .add_root_certificates(tls.ca.clone())
                .add_client_certificate(tls.certificate.clone(), tls.key.clone());
        }
        let addresses = settings
            .url
            .expose_secret()
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<async_nats::ServerAddr>, _>>()
            .map_err(ConnectError::Address)?;
        let client = options.connect(addresses).await.map_err(ConnectError::Client)?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(REQUEST_DEADLINE);
        Ok(Self(Arc::new(Inner {
            client,
            context,
            settings,
            connection,
            stream_seen: AtomicU64::new(0),
            attempts: Attempts::default(),
            consumers: RwLock::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })))
    }

    /// The stream, made if it is not there.
    async fn stream(&self) -> Result<Stream, jetstream::context::CreateStreamError> {
        let settings = &self.0.settings;
        let connection = self.0.connection.borrow().count;
        let stream = self
            .0
            .context
            .get_or_create_stream(stream::Config {
                name: settings.stream.clone(),
                subjects: vec![format!("{}.>", settings.prefix)],
                max_age: KEPT,
                duplicate_window: DUPLICATE_WINDOW,
                num_replicas: settings.replicas,
                ..Default::default()
            })
            .await?;
        self.0.stream_seen.store(connection, Ordering::Release);
        Ok(stream)
    }

    /// Whether the stream was seen on the connection that stands now.
    fn stream_stands(&self) -> bool {
        let connection = *self.0.connection.borrow();
        connection.up && connection.count == self.0.stream_seen.load(Ordering::Acquire)
    }

    /// Takes note that the stream may be gone.
    fn doubt_stream(&self) {
        self.0.stream_seen.store(0, Ordering::Release);
    }

    fn broker_error(&self, error: impl std::error::Error + Send + Sync + 'static) -> PublishError {
        self.doubt_stream();
        PublishError::Broker(Box::new(error))
    }
}

/// Follows the connection's state.
fn note(state: &watch::Sender<Connection>, event: &async_nats::Event) {
    match event {
        async_nats::Event::Connected => {
            state.send_modify(|connection| {
                connection.count += 1;
                connection.up = true;
            });
            tracing::info!("connected to NATS");
        }
        async_nats::Event::Disconnected | async_nats::Event::Closed => {
            state.send_modify(|connection| connection.up = false);
            tracing::warn!("connection to NATS lost");
        }
        other => tracing::warn!(event = %other, "NATS client"),
    }
}

#[async_trait]
impl Publisher for NatsBus {
    async fn publish(&self, event: &Event) -> Result<Receipt, PublishError> {
        if self.0.stop.is_cancelled() {
            return Err(PublishError::Closed);
        }
        let payload = serde_json::to_vec(event).map_err(|e| PublishError::Broker(e.into()))?;
        let mut message =
            PublishMessage::build().payload(payload.into()).message_id(event.id.to_string());
        if let Some(traceparent) = &event.traceparent {
            message = message.header("traceparent", traceparent.as_str());
        }
        let subject = event.subject(&self.0.settings.prefix);
        let acknowledgement = self.0.context.send_publish(subject, message);
        let sent = acknowledgement.await.map_err(|error| self.broker_error(error))?;
        let stored = sent.await.map_err(|error| self.broker_error(error))?;
        Ok(Receipt(Some(stored.sequence)))
    }

    async fn ready(&self) {
        let mut connection = self.0.connection.clone();
        let standing = async {
            while !self.stream_stands() {
                // Fails only when the client is gone, and `self` holds it.
                let _ = connection.wait_for(|connection| connection.up).await;
                if let Err(error) = self.stream().await {
                    tracing::warn!(%error, "NATS stream is not there yet");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        tokio::select! {
            () = standing => {}
            () = self.0.stop.cancelled() => {}
        }
    }

    async fn holds(&self, receipt: Receipt, event: EventId) -> Result<bool, PublishError> {
        let Some(sequence) = receipt.0 else { return Ok(true) };
        let stream = self.stream().await.map_err(|error| self.broker_error(error))?;
        match stream.get_raw_message(sequence).await {
            Ok(message) => {
                let id = message.headers.get(NATS_MESSAGE_ID).map(|id| id.as_str().to_owned());
                Ok(id == Some(event.to_string()))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
            Err(error) => Err(self.broker_error(error)),
        }
    }

    fn connections(&self) -> u64 {
        // The client counts before anything comes over the new connection; word of it, which
        // `Connection` follows, may be later than the first acknowledgement.
        self.0.client.statistics().connects.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Bus for NatsBus {
    async fn subscribe(&self, subscription: Subscription) -> Result<(), SubscribeError> {
        subscription.check()?;
        if self.0.stop.is_cancelled() {
            return Err(SubscribeError::Closed);
        }
        let mut consumers = self.0.consumers.write().unwrap_or_else(PoisonError::into_inner);
        if consumers.contains(&subscription.consumer) {
            return Err(SubscribeError::Taken(subscription.consumer));
        }
        consumers.push(subscription.consumer);
        let subscription = Arc::new(subscription);
        for filter in &subscription.filters {
            let task = consumer::run(self.clone(), Arc::clone(&subscription), filter.clone());
            self.0.tasks.spawn(task);
        }
        Ok(())
    }

    async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        // Sends the last acknowledgements; without a connection there is nobody to send to.
        let _ = tokio::time::timeout(REQUEST_DEADLINE, self.0.client.flush()).await;
    }
}
