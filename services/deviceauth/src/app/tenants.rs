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

/// How long an answer is believed: a tenant that is suspended gets no new tokens after this.
const REMEMBERED: Duration = Duration::from_secs(30);

/// How many answers are held, with about 100 bytes each.
const CAPACITY: u64 = 10_000;

/// Resolves tenant tokens.
#[derive(Clone)]
pub(crate) struct Tenants {
    accounts: InternalServiceClient<Rpc>,
    clock: Arc<dyn Clock>,
    known: Cache<[u8; 32], Tenant>,
}

#[derive(Debug, Clone, Copy)]
struct Tenant {
    id: TenantId,
    suspended: bool,
}

impl Tenants {
    pub(crate) fn new(accounts: Rpc, clock: Arc<dyn Clock>) -> Self {
        let known = Cache::builder().max_capacity(CAPACITY).time_to_live(REMEMBERED).build();
        Self { accounts: InternalServiceClient::new(accounts), clock, known }
    }

    /// The tenant that a token names, or the default one. Many who ask at the same time cause
    /// one question.
    pub(crate) async fn resolve(&self, token: &str) -> Result<TenantId, Error> {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let tenant = self.known.try_get_with(key, self.ask(token)).await.map_err(Error::Tenant)?;
        if tenant.suspended { Err(Error::Suspended) } else { Ok(tenant.id) }
    }

    async fn ask(&self, token: &str) -> Result<Tenant, Failure> {
        let expires = self.clock.now() + TimeDelta::minutes(1);
        let caller = Caller::service("deviceauth", TenantId(Uuid::nil()), expires);
        let request = ResolveTenantTokenRequest { tenant_token: token.to_owned() };
        let request = with_caller(idempotent(request), &caller);
        let answer = self.accounts.clone().resolve_tenant_token(request).await?.into_inner();
        let id = answer
            .tenant_id
            .parse()
            .map_err(|_| Failure::from(tonic::Status::internal("the tenant's id is not one")))?;
        Ok(Tenant { id, suspended: answer.suspended })
    }
}
