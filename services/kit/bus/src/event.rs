//! The envelope that every event travels in, and how events are named.

use chrono::{DateTime, Utc};
use rota_types::{Actor, EventId, TenantId};
use serde::{Deserialize, Serialize};

/// What happened to one entity of one tenant, as its owner committed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The same over every redelivery; a consumer records it with its effect.
    pub id: EventId,
    /// Whose entity changed.
    pub tenant: TenantId,
    /// What changed.
    pub entity: Entity,
    /// Grows with each change of the entity: of two events of one entity, the larger is newer.
    pub revision: i64,
    /// Who changed it.
    pub actor: Actor,
    /// The address the change was asked for from, where there is one.
    pub address: Option<String>,
    /// The request that caused the change.
    pub request_id: String,
    /// The W3C trace context of that request.
    pub traceparent: Option<String>,
    /// When the change was committed (UTC, in microseconds).
    pub time: DateTime<Utc>,
    /// What kind of change: the last part of [`EventType`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of `data`'s form.
    pub version: u16,
    /// What changed, in the form that type and version name.
    pub data: serde_json::Value,
}

impl Event {
    /// The subject under `prefix`: `<prefix>.<tenant>.<entity kind>.<type>`.
    pub(crate) fn subject(&self, prefix: &str) -> String {
        format!("{prefix}.{}.{}.{}", self.tenant, self.entity.kind, self.kind)
    }

    /// Whether the event is of this type, in any version.
    pub fn is(&self, event_type: &EventType) -> bool {
        self.entity.kind == event_type.entity && self.kind == event_type.name
    }
}

/// The thing an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entity {
    /// The kind, such as `device`: the first part of [`EventType`].
    pub kind: String,
    /// The id among its kind, within the tenant.
    pub id: String,
}

/// The name of a kind of event: entity, what happened to it, and the version of the data.
///
/// Declared as a constant, and checked when the constant is compiled:
///
/// ```
/// # use rota_bus::EventType;
/// pub const DEVICE_ACCEPTED: EventType = EventType::new("device", "accepted", 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType {
    /// The entity's kind, such as `device`.
    pub entity: &'static str,
    /// What happened, such as `accepted`.
    pub name: &'static str,
    /// The version of the data's form; raised when old consumers could not read the new.
    pub version: u16,
}

impl EventType {
    /// Names a type. Entity and name become parts of a subject, so they consist of lower-case
    /// letters, digits, `_` and `-`.
    ///
    /// # Panics
    /// On any other character or an empty name: at compile time when used for a constant.
    pub const fn new(entity: &'static str, name: &'static str, version: u16) -> Self {
        assert!(is_token(entity), "an entity is named with a-z, 0-9, _ and -");
        assert!(is_token(name), "an event is named with a-z, 0-9, _ and -");
        Self { entity, name, version }
    }
}

/// Whether `text` can be one part of a subject, or a consumer's name.
pub(crate) const fn is_token(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

/// Which events a consumer wants, of every tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter {
    entity: Option<&'static str>,
    name: Option<&'static str>,
}

impl Filter {
    /// Events of one type, in any version.
    pub const fn of(event_type: &EventType) -> Self {
        Self { entity: Some(event_type.entity), name: Some(event_type.name) }
    }

    /// Every event.
    pub const fn everything() -> Self {
        Self { entity: None, name: None }
    }

    /// Whether the filter lets the event through.
    pub fn matches(&self, event: &Event) -> bool {
        self.entity.is_none_or(|entity| entity == event.entity.kind)
            && self.name.is_none_or(|name| name == event.kind)
    }

    /// The filter as a NATS subject under `prefix`.
    pub(crate) fn subject(&self, prefix: &str) -> String {
        match (self.entity, self.name) {
            (None, None) => format!("{prefix}.>"),
            (entity, name) => {
                format!("{prefix}.*.{}.{}", entity.unwrap_or("*"), name.unwrap_or("*"))
            }
        }
    }

    /// The filter as part of a consumer's name.
    pub(crate) fn label(&self) -> String {
        format!("{}-{}", self.entity.unwrap_or("any"), self.name.unwrap_or("any"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::event;

    const ACCEPTED: EventType = EventType::new("device", "accepted", 1);
    const REJECTED: EventType = EventType::new("device", "rejected", 1);

    #[test]
    fn a_subject_carries_the_tenant_and_the_type() {
        let event = event(ACCEPTED);
        let subject = event.subject("rota.event");
        assert_eq!(subject, format!("rota.event.{}.device.accepted", event.tenant));
        assert_eq!(Filter::of(&ACCEPTED).subject("rota.event"), "rota.event.*.device.accepted");
        assert_eq!(Filter::everything().subject("rota.event"), "rota.event.>");
    }

    #[test]
    fn a_filter_lets_its_own_type_through_and_no_other() {
        assert!(Filter::of(&ACCEPTED).matches(&event(ACCEPTED)));
        assert!(!Filter::of(&ACCEPTED).matches(&event(REJECTED)));
        assert!(!Filter::of(&ACCEPTED).matches(&event(EventType::new("tenant", "accepted", 1))));
        assert!(Filter::everything().matches(&event(REJECTED)));
    }

    #[test]
    fn names_that_would_break_a_subject_are_refused() {
        for name in ["", "a.b", "*", ">", "Accepted", "a b"] {
            assert!(!is_token(name), "{name:?}");
        }
    }

    #[test]
    fn an_event_survives_the_wire() {
        let sent = event(ACCEPTED);
        let bytes = serde_json::to_vec(&sent).unwrap();
        assert_eq!(serde_json::from_slice::<Event>(&bytes).unwrap(), sent);
    }
}
