//! Whose device it is: what accounts says of a tenant token, remembered for a moment.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use moka::future::Cache;
use ring::digest::{SHA256, digest};
use rota_proto::accounts::v1::{
    ResolveTenantTokenRequest, internal_service_client::InternalServiceClient,
};
use rota_runtime::{Clock, Failure, Rpc, idempotent, with_caller};
use rota_types::{Caller, TenantId};
use uuid::Uuid;

use crate::error::Error;

/// How long an answer is believed. A token that is issued to a tenant which was suspended
/// meanwhile has a past epoch, and opens nothing.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How many answers are held, with about 100 bytes each.
const CAPACITY: u64 = 10_000;

/// Resolves tenant tokens.
#[derive(Clone)]
pub(crate) struct Tenants {
    accounts: InternalServiceClient<Rpc>,
    clock: Arc<dyn Clock>,
    known: Cache<[u8; 32], Standing>,
}

/// What a tenant's devices are told.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Active(Tenant),
    Suspended,
}

/// A tenant whose devices may have tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    /// What its devices' tokens carry; those with a smaller one are refused.
    pub(crate) epoch: u64,
}

impl Tenants {
    pub(crate) fn new(accounts: Rpc, clock: Arc<dyn Clock>) -> Self {
        let known = Cache::builder().max_capacity(CAPACITY).time_to_live(REMEMBERED).build();
        Self { accounts: InternalServiceClient::new(accounts), clock, known }
    }

    /// The tenant that a token names, or the default one. Many who ask at the same time cause
    /// one question.
    pub(crate) async fn resolve(&self, token: &str) -> Result<Tenant, Error> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        match self.known.try_get_with(key, self.ask(token)).await.map_err(Error::Tenant)? {
            Standing::Active(tenant) => Ok(tenant),
            Standing::Suspended => Err(Error::Suspended),
        }
    }

    async fn ask(&self, token: &str) -> Result<Standing, Failure> {
        let expires = self.clock.now() + TimeDelta::minutes(1);
        let caller = Caller::service("deviceauth", TenantId(Uuid::nil()), expires);
        let request = ResolveTenantTokenRequest { tenant_token: token.to_owned() };
        let request = with_caller(idempotent(request), &caller);
        let answer = self.accounts.clone().resolve_tenant_token(request).await?.into_inner();
        if answer.suspended {
            return Ok(Standing::Suspended);
        }
        let id = answer.tenant_id.parse().ok();
        let Some((id, epoch)) = id.zip(u64::try_from(answer.device_epoch).ok()) else {
            return Err(tonic::Status::internal("the tenant's id or epoch is not one").into());
        };
        Ok(Standing::Active(Tenant { id, epoch }))
    }
}
