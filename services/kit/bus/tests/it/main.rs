//! One suite of behaviour for both buses, and what only a broker can do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod nats;
mod recorder;
mod suite;

use rota_bus::LocalBus;

/// Every test of the suite, on one kind of bus.
macro_rules! on_bus {
    ($($bus:ident: $make:expr;)+) => {$(
        mod $bus {
            use super::*;

            #[tokio::test]
            async fn every_consumer_gets_what_it_wants_and_no_more() {
                let (bus, _keep) = $make.await;
                suite::every_consumer_gets_what_it_wants_and_no_more(&bus).await;
            }

            #[tokio::test]
            async fn an_event_comes_again_until_its_handler_succeeds() {
                let (bus, _keep) = $make.await;
                suite::an_event_comes_again_until_its_handler_succeeds(&bus).await;
            }

            #[tokio::test]
            async fn poison_is_buried_and_others_go_on() {
                let (bus, _keep) = $make.await;
                suite::poison_is_buried_and_others_go_on(&bus).await;
            }

            #[tokio::test]
            async fn closing_waits_for_the_handler_that_runs() {
                let (bus, _keep) = $make.await;
                suite::closing_waits_for_the_handler_that_runs(bus).await;
            }

            #[tokio::test]
            async fn subscriptions_that_cannot_be_served_are_refused() {
                let (bus, _keep) = $make.await;
                suite::subscriptions_that_cannot_be_served_are_refused(&bus).await;
            }

            #[tokio::test]
            async fn events_of_one_entity_keep_their_order() {
                let (bus, _keep) = $make.await;
                suite::events_of_one_entity_keep_their_order(&bus).await;
            }
        }
    )+};
}

on_bus! {
    local: async { (open_local_bus(), ()) };
    jetstream: async {
        let server = nats::Server::start().await;
        (server.bus("test").await, server)
    };
}

fn open_local_bus() -> LocalBus {
    let bus = LocalBus::new();
    bus.open();
    bus
}

#[tokio::test]
async fn a_local_bus_delivers_nothing_before_it_is_open() {
    use rota_bus::{Bus, Publisher};
    let bus = LocalBus::new();
    let event = recorder::event(recorder::ACCEPTED);
    let publishing = tokio::spawn({
        let (bus, event) = (bus.clone(), event.clone());
        async move { bus.publish(&event).await }
    });
    let recorder = recorder::Recorder::new();
    bus.subscribe(recorder.subscription("late", recorder::ACCEPTED)).await.unwrap();
    bus.open();
    publishing.await.unwrap().unwrap();
    assert_eq!(recorder.seen(), [event.id], "the consumer subscribed before the bus was open");
}

#[tokio::test]
async fn a_local_bus_takes_an_event_only_when_every_consumer_has_handled_it() {
    use rota_bus::{Bus, PublishError, Publisher};
    let bus = open_local_bus();
    let (good, bad) = (recorder::Recorder::new(), recorder::Recorder::new());
    bus.subscribe(good.subscription("good", recorder::ACCEPTED)).await.unwrap();
    bus.subscribe(bad.subscription("bad", recorder::ACCEPTED)).await.unwrap();
    bad.fail_next(1);
    let event = recorder::event(recorder::ACCEPTED);
    let refused = bus.publish(&event).await.unwrap_err();
    let PublishError::Undelivered { consumers, failures } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((consumers, failures), (vec!["bad"], 1));
    bus.publish(&event).await.unwrap();
    assert_eq!(bad.seen(), [event.id]);
}
