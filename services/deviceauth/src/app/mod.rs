//! What deviceauth does, one function for each thing that is asked of it.

mod authenticate;
mod devices;
mod limits;
mod tenants;

pub(crate) use devices::NewPreauthorization;
pub(crate) use tenants::{Tenant, Tenants};

use ring::digest::{SHA256, digest};
use rota_auth::DeviceKey;
use rota_store::outbox::Origin;
use rota_types::{Actor, AuthSetId, Caller, TenantId};

use crate::{
    DeviceAuth,
    model::{AuthSet, AuthSetStatus},
    store::Scope,
};

impl DeviceAuth {
    /// What is done in the caller's name, in its tenant.
    fn scope(&self, caller: &Caller) -> Scope {
        self.scope_of(caller, caller.tenant, caller.actor.clone())
    }

    /// What `actor` does in a tenant that the caller could not name.
    fn scope_of(&self, caller: &Caller, tenant: TenantId, actor: Actor) -> Scope {
        let origin = Origin { actor, ..Origin::from(caller) };
        Scope { tenant, origin, now: self.0.clock.now() }
    }
}

impl Scope {
    /// An auth set of a key that has just been shown or announced.
    fn new_auth_set(&self, key: &DeviceKey) -> AuthSet {
        let public_key = key.to_pem();
        AuthSet {
            id: AuthSetId::mint(),
            key_hash: key_hash(&public_key),
            public_key,
            status: AuthSetStatus::Pending,
            epoch: 1,
            created: self.now,
        }
    }
}

/// SHA-256 of a normalised PEM.
fn key_hash(public_key: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, public_key.as_bytes()).as_ref());
    hash
}
