//! What every bus does.

use rota_bus::{Bus, Filter, PublishError, SubscribeError, Subscription};

use crate::recorder::{ACCEPTED, REMOVED, Recorder, event, publish};

pub(crate) async fn every_consumer_gets_what_it_wants_and_no_more(bus: &impl Bus) {
    let (accepted, removed, both) = (Recorder::new(), Recorder::new(), Recorder::new());
    bus.subscribe(accepted.subscription("accepted", ACCEPTED)).await.unwrap();
    bus.subscribe(removed.subscription("removed", REMOVED)).await.unwrap();
    let filters = vec![Filter::of(&ACCEPTED), Filter::of(&REMOVED)];
    let handler = both.subscription("both", ACCEPTED).handler;
    bus.subscribe(Subscription { consumer: "both", filters, handler }).await.unwrap();

    let (first, second) = (event(ACCEPTED), event(REMOVED));
    publish(bus, &first).await;
    publish(bus, &second).await;
    both.wait_handled(2).await;
    accepted.wait_handled(1).await;
    removed.wait_handled(1).await;
    assert_eq!(accepted.events(), [first], "as it was sent");
    assert_eq!(removed.events(), [second], "as it was sent");
}

pub(crate) async fn an_event_comes_again_until_its_handler_succeeds(bus: &impl Bus) {
    let recorder = Recorder::new();
    recorder.fail_next(3);
    bus.subscribe(recorder.subscription("stubborn", ACCEPTED)).await.unwrap();
    let event = event(ACCEPTED);
    publish(bus, &event).await;
    recorder.wait_handled(1).await;
    assert_eq!(recorder.seen(), [event.id]);
    assert!(recorder.buried().is_empty());
}

pub(crate) async fn poison_is_buried_and_others_go_on(bus: &impl Bus) {
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("careful", ACCEPTED)).await.unwrap();
    let (bad, good) = (event(ACCEPTED), event(ACCEPTED));
    recorder.refuse(bad.id);
    publish(bus, &bad).await;
    publish(bus, &good).await;
    recorder.wait_handled(1).await;
    recorder.wait_buried(1).await;
    assert_eq!(recorder.seen(), [good.id]);
    let letters = recorder.buried();
    assert_eq!(letters[0].event.as_ref(), Some(&bad));
    assert_eq!(letters[0].consumer, "careful");
    assert!(letters[0].reason.contains("told to refuse it"), "{}", letters[0].reason);
}

pub(crate) async fn closing_waits_for_the_handler_that_runs<B: Bus + Clone>(bus: B) {
    let recorder = Recorder::held();
    bus.subscribe(recorder.subscription("slow", ACCEPTED)).await.unwrap();
    let slow = event(ACCEPTED);
    let publishing = tokio::spawn({
        let (bus, slow) = (bus.clone(), slow.clone());
        async move { publish(&bus, &slow).await }
    });
    recorder.wait_started(1).await;
    let closing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.close().await }
    });
    // Closed to everyone else while the handler still runs; nobody wants this event.
    let other = event(REMOVED);
    while !matches!(bus.publish(&other).await, Err(PublishError::Closed)) {
        tokio::task::yield_now().await;
    }
    assert!(!closing.is_finished(), "a handler runs");
    recorder.let_go();
    closing.await.unwrap();
    assert_eq!(recorder.seen(), [slow.id], "closing waited for the effect");
    publishing.await.unwrap();
    let late = bus.subscribe(recorder.subscription("late", ACCEPTED)).await;
    assert!(matches!(late, Err(SubscribeError::Closed)));
}

pub(crate) async fn subscriptions_that_cannot_be_served_are_refused(bus: &impl Bus) {
    let recorder = Recorder::new();
    let bad_name = bus.subscribe(recorder.subscription("a.b", ACCEPTED)).await;
    assert!(matches!(bad_name, Err(SubscribeError::Name(_))), "{bad_name:?}");
    let nothing =
        Subscription { filters: Vec::new(), ..recorder.subscription("nothing", ACCEPTED) };
    let nothing = bus.subscribe(nothing).await;
    assert!(matches!(nothing, Err(SubscribeError::NoFilter(_))), "{nothing:?}");
    bus.subscribe(recorder.subscription("twin", ACCEPTED)).await.unwrap();
    let twin = bus.subscribe(recorder.subscription("twin", ACCEPTED)).await;
    assert!(matches!(twin, Err(SubscribeError::Taken("twin"))), "{twin:?}");
}

pub(crate) async fn events_of_one_entity_keep_their_order(bus: &impl Bus) {
    let recorder = Recorder::new();
    bus.subscribe(recorder.subscription("orderly", ACCEPTED)).await.unwrap();
    let tenant = event(ACCEPTED).tenant;
    let events: Vec<_> =
        (1..=50).map(|revision| rota_bus::Event { tenant, revision, ..event(ACCEPTED) }).collect();
    for event in &events {
        publish(bus, event).await;
    }
    recorder.wait_handled(events.len()).await;
    let revisions: Vec<_> = recorder.events().iter().map(|event| event.revision).collect();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
}
