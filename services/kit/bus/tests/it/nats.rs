//! What only a broker can do: replicas, outages, lost data, TLS, strange messages.

use std::path::PathBuf;

use async_nats::jetstream;
use rota_bus::{Bus, NatsBus, NatsSettings, NatsTls, PublishError, Publisher};
use rota_stack::{Authority, Nats, NatsOptions, ReservedPort};

use crate::recorder::{ACCEPTED, Recorder, event, publish};

/// A nats-server that a test may stop and start again.
pub(crate) struct Server {
    nats: Nats,
    dir: tempfile::TempDir,
    port: ReservedPort,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let (dir, port) = (tempfile::tempdir().unwrap(), ReservedPort::take().unwrap());
        let nats = Self::run(&dir, &port).await;
        Self { nats, dir, port }
    }

    async fn run(dir: &tempfile::TempDir, port: &ReservedPort) -> Nats {
        let port = Some(port.number());
        Nats::start(NatsOptions { port, ..NatsOptions::new(dir.path()) }).await.unwrap()
    }

    pub(crate) async fn bus(&self, name: &str) -> NatsBus {
        NatsBus::connect(NatsSettings::new(self.nats.url().to_owned(), name)).await.unwrap()
    }

    /// Stops the server, does something to its directory, starts it on the same port.
    async fn restart(self, meanwhile: impl FnOnce(PathBuf)) -> Self {
        let Self { nats, dir, port } = self;
        nats.stop().await;
        meanwhile(dir.path().join("jetstream"));
        let nats = Self::run(&dir, &port).await;
        Self { nats, dir, port }
    }
}

#[tokio::test]
async fn replicas_share_the_events_among_them() {
    let server = Server::start().await;
    let (one, two) = (server.bus("one").await, server.bus("two").await);
    let (first, second) = (Recorder::new(), Recorder::new());
    one.subscribe(first.subscription("shared", ACCEPTED)).await.unwrap();
    two.subscribe(second.subscription("shared", ACCEPTED)).await.unwrap();
    let events: Vec<_> = (0..40).map(|_| event(ACCEPTED)).collect();
    for event in &events {
        publish(&one, event).await;
    }
    while first.seen().len() + second.seen().len() < events.len() {
        tokio::task::yield_now().await;
    }
    let mut seen = [first.seen(), second.seen()].concat();
    seen.sort_unstable();
    let mut sent: Vec<_> = events.iter().map(|event| event.id).collect();
    sent.sort_unstable();
    assert_eq!(seen, sent, "each event went to one of the two");
}

#[tokio::test]
async fn an_event_published_twice_is_stored_once() {
    let server = Server::start().await;
    let bus = server.bus("test").await;
    bus.ready().await;
    let event = event(ACCEPTED);
    let first = bus.publish(&event).await.unwrap();
    assert_eq!(bus.publish(&event).await.unwrap(), first);
}

#[tokio::test]
async fn consumers_go_on_after_the_broker_was_restarted() {
    let server = Server::start().await;
    let bus = server.bus("test").await;
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("patient", ACCEPTED)).await.unwrap();
    let (before, after) = (event(ACCEPTED), event(ACCEPTED));
    publish(&bus, &before).await;
    recorder.wait_handled(1).await;
    let connections = bus.connections();
    let _server = server.restart(|_| ()).await;
    publish(&bus, &after).await;
    recorder.wait_handled(2).await;
    assert_eq!(recorder.seen(), [before.id, after.id]);
    assert!(bus.connections() > connections, "the outbox must notice");
}

#[tokio::test]
async fn a_broker_that_lost_everything_is_set_up_again_and_says_so() {
    let server = Server::start().await;
    let bus = server.bus("test").await;
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("patient", ACCEPTED)).await.unwrap();
    let lost = event(ACCEPTED);
    bus.ready().await;
    let receipt = bus.publish(&lost).await.unwrap();
    recorder.wait_handled(1).await;
    assert!(bus.holds(receipt, lost.id).await.unwrap());
    let _server = server.restart(|store| std::fs::remove_dir_all(store).unwrap()).await;
    bus.ready().await;
    assert!(!bus.holds(receipt, lost.id).await.unwrap());
    // Somebody else's event has taken the place by now: that is no proof either.
    let other = event(ACCEPTED);
    publish(&bus, &other).await;
    assert!(!bus.holds(receipt, lost.id).await.unwrap());
    publish(&bus, &lost).await;
    recorder.wait_handled(3).await;
    assert_eq!(recorder.seen(), [lost.id, other.id, lost.id]);
}

#[tokio::test]
async fn publishing_fails_while_the_broker_is_away() {
    let server = Server::start().await;
    let bus = server.bus("test").await;
    bus.ready().await;
    server.nats.stop().await;
    let error = bus.publish(&event(ACCEPTED)).await.unwrap_err();
    assert!(matches!(error, PublishError::Broker(_)), "{error:?}");
}

#[tokio::test]
async fn a_message_that_is_no_event_is_buried() {
    let server = Server::start().await;
    let bus = server.bus("test").await;
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("careful", ACCEPTED)).await.unwrap();
    bus.ready().await;
    let stranger = jetstream::new(async_nats::connect(server.nats.url()).await.unwrap());
    let sent = stranger.publish("rota.event.x.device.accepted", "nonsense".into()).await;
    sent.unwrap().await.unwrap();
    recorder.wait_buried(1).await;
    let letters = recorder.buried();
    assert_eq!(letters[0].payload, b"nonsense");
    assert!(letters[0].event.is_none());
}

#[tokio::test]
async fn the_broker_and_its_clients_know_each_other_by_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path().join("certificates")).unwrap();
    let tls = Some(authority.issue("nats").unwrap());
    let options = NatsOptions { tls, ..NatsOptions::new(dir.path().join("nats")) };
    let server = Nats::start(options).await.unwrap();
    let mine = authority.issue("deployments").unwrap();
    let mut settings = NatsSettings::new(server.url().to_owned(), "test");
    settings.tls = Some(NatsTls { ca: mine.ca, certificate: mine.certificate, key: mine.key });
    let bus = NatsBus::connect(settings).await.unwrap();
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("secret", ACCEPTED)).await.unwrap();
    let event = event(ACCEPTED);
    publish(&bus, &event).await;
    recorder.wait_handled(1).await;

    let foreign = Authority::open(dir.path().join("foreign")).unwrap().issue("nats").unwrap();
    let options = async_nats::ConnectOptions::new()
        .add_root_certificates(authority.certificate())
        .add_client_certificate(foreign.certificate, foreign.key);
    assert!(options.connect(server.url()).await.is_err(), "another authority's client");
}
