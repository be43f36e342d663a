//! Events that a service owes the others, written in the transaction of the change.

use rota_bus::EventType;
use rota_types::{Actor, Caller, EventId, TenantId};
use serde::Serialize;
use sqlx::PgConnection;

use crate::{PlatformTx, TenantTx};

/// Who caused an event, from where, in which request.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Who acted.
    pub actor: Actor,
    /// The address the request came from.
    pub address: Option<String>,
    /// The request.
    pub request_id: String,
    /// The W3C trace context, so that a trace goes on where the event is handled; filled in
    /// with the current one.
    pub traceparent: Option<String>,
}

impl From<&Caller> for Origin {
    fn from(caller: &Caller) -> Self {
        Self {
            actor: caller.actor.clone(),
            address: caller.address.clone(),
            request_id: caller.request_id.clone(),
            traceparent: rota_runtime::traceparent(),
        }
    }
}

impl Origin {
    /// A service acting for itself: a job, a sweep, or another event, whose `request_id` it
    /// hands on.
    pub fn service(name: &str, request_id: impl Into<String>) -> Self {
        Self {
            actor: Actor::Service { name: name.to_owned() },
            address: None,
            request_id: request_id.into(),
            traceparent: rota_runtime::traceparent(),
        }
    }
}

/// What happened, before it has an id and a time.
#[derive(Debug, Clone)]
pub struct NewEvent {
    event_type: EventType,
    entity_id: String,
    revision: i64,
    data: serde_json::Value,
}

impl NewEvent {
    /// An event of the entity `entity_id`, whose `revision` grew with this change. `data` is
    /// what changed, in the form that the type's version names.
    ///
    /// # Panics
    /// When `data` is no JSON: a map with keys that are not text, or a `Serialize` of one's own
    /// that fails.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "ids are small and copied: callers pass them as they are"
    )]
    pub fn new(
        event_type: EventType,
        entity_id: impl ToString,
        revision: i64,
        data: &impl Serialize,
    ) -> Self {
        let data = serde_json::to_value(data).expect("event data is a plain structure");
        Self { event_type, entity_id: entity_id.to_string(), revision, data }
    }
}

/// Adds an event to the transaction: it is published if, and only if, the transaction commits.
/// Data of more than 256 KiB is refused (check `outbox_data_small`).
pub async fn append(
    tx: &mut TenantTx,
    origin: &Origin,
    event: &NewEvent,
) -> Result<EventId, sqlx::Error> {
    let tenant = tx.tenant();
    tx.note_event();
    insert(tx, tenant, origin, event).await
}

/// [`append`] in a platform transaction, for what happens to a tenant as a whole.
pub async fn append_for(
    tx: &mut PlatformTx,
    tenant: TenantId,
    origin: &Origin,
    event: &NewEvent,
) -> Result<EventId, sqlx::Error> {
    tx.note_event();
    insert(tx, tenant, origin, event).await
}

async fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    origin: &Origin,
    event: &NewEvent,
) -> Result<EventId, sqlx::Error> {
    let id = EventId::mint();
    sqlx::query(
        "insert into outbox (id, tenant_id, entity, entity_id, revision, kind, version, actor,
                             address, request_id, traceparent, data)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(id.uuid())
    .bind(tenant.uuid())
    .bind(event.event_type.entity)
    .bind(&event.entity_id)
    .bind(event.revision)
    .bind(event.event_type.name)
    .bind(i16::try_from(event.event_type.version).unwrap_or(i16::MAX))
    .bind(sqlx::types::Json(&origin.actor))
    .bind(&origin.address)
    .bind(&origin.request_id)
    .bind(&origin.traceparent)
    .bind(&event.data)
    .execute(connection)
    .await?;
    Ok(id)
}
