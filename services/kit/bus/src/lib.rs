//! Events between services: the envelope, the bus over NATS, and the bus within one process.
//!
//! A service never publishes by hand: it appends to its outbox in the transaction of the
//! change (`rota_store::outbox`), and the outbox's relay hands the row to a [`Publisher`].
//! Consumers [`Bus::subscribe`] a [`Handler`], in practice `rota_store::Consumer`, which
//! records the event's id in the transaction of its effect.
//!
//! What holds on both buses:
//!
//! - **At least once.** An event comes again until its handler returned `Ok`, and a handler
//!   returns `Ok` only after its effect is committed. Ids are stable over redeliveries.
//! - **No order between events.** Retries and replicas reorder; [`Event::revision`] says
//!   which of two events of one entity is newer.
//! - **Nothing is dropped.** An event that fails [`MAX_ATTEMPTS`] times is handed to
//!   [`Handler::bury`], which keeps it for a person to look at; only then is it settled.

mod address;
mod attempts;
mod delivery;
mod event;
mod handler;
mod local;
mod nats;

pub use address::BrokerAddress;
pub use delivery::{HANDLER_DEADLINE, MAX_ATTEMPTS, retry_delay};
pub use event::{Entity, Event, EventType, Filter};
pub use handler::{
    Bus, DeadLetter, Handler, HandlerError, PublishError, Publisher, Receipt, SubscribeError,
    Subscription,
};
pub use local::LocalBus;
pub use nats::{ConnectError, NatsBus, NatsSettings, NatsTls};
