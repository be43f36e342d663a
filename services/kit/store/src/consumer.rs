//! A consumer whose effect and inbox entry commit together.

use async_trait::async_trait;
use rota_bus::{DeadLetter, Event, Handler, HandlerError};

use crate::{Database, TenantTx, dead_letters, inbox, is_retryable, is_unavailable};

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What an event does to a service's own data.
#[async_trait]
pub trait Effect: Send + Sync + 'static {
    /// Carries out the effect within the transaction of the event's tenant. Runs once per
    /// event that commits; nothing that it does outside the transaction has that promise.
    async fn apply(&self, tx: &mut TenantTx, event: &Event) -> Result<(), EffectError>;
}

/// Why an effect was not carried out; the transaction is rolled back.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The database refused or was away. Comes again: without limit when it was away.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// Something else that is needed cannot be reached. Comes again, without limit.
    #[error("something needed for the event cannot be reached")]
    Unavailable(#[source] Cause),
    /// The effect failed. Comes again a few times, then becomes a dead letter.
    #[error("the effect failed")]
    Failed(#[source] Cause),
    /// The event makes no sense here. Becomes a dead letter at once.
    #[error("the event makes no sense")]
    Poison(#[source] Cause),
}

impl From<serde_json::Error> for EffectError {
    /// Data that is not of its type's form never will be.
    fn from(error: serde_json::Error) -> Self {
        Self::Poison(error.into())
    }
}

impl From<EffectError> for HandlerError {
    fn from(error: EffectError) -> Self {
        match error {
            EffectError::Database(error) if is_unavailable(&error) || is_retryable(&error) => {
                Self::Unavailable(error.into())
            }
            EffectError::Database(error) => Self::Failed(error.into()),
            EffectError::Unavailable(cause) => Self::Unavailable(cause),
            EffectError::Failed(cause) => Self::Failed(cause),
            EffectError::Poison(cause) => Self::Poison(cause),
        }
    }
}

/// Makes a bus handler of an [`Effect`]: opens the event's tenant, records the event in the
/// inbox, applies the effect to events that are new, commits both.
#[derive(Debug, Clone)]
pub struct Consumer<E> {
    db: Database,
    name: &'static str,
    effect: E,
}

impl<E: Effect> Consumer<E> {
    /// A consumer under the durable `name` that its subscription has too.
    pub fn new(db: Database, name: &'static str, effect: E) -> Self {
        Self { db, name, effect }
    }

    async fn take_in(&self, event: &Event) -> Result<(), EffectError> {
        let mut tx = self.db.tenant(event.tenant).await?;
        if inbox::record(&mut tx, self.name, event).await? {
            self.effect.apply(&mut tx, event).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl<E: Effect> Handler for Consumer<E> {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.take_in(event).await.map_err(HandlerError::from)
    }

    async fn bury(&self, letter: &DeadLetter) -> Result<(), HandlerError> {
        dead_letters::keep(&self.db, letter)
            .await
            .map_err(|error| HandlerError::from(EffectError::from(error)))
    }
}
