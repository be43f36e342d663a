//! What goes on beside requests: durable jobs, the sweep, and keeping the set of active tenants
//! fresh.

mod expand;
mod follow;
pub(crate) mod sweep;
mod take_back;
mod work;

pub(crate) use follow::follow_active_tenants;
pub(crate) use work::work;
