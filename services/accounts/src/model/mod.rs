//! What accounts thinks in: tenants, people, roles, and what makes an address or a password
//! acceptable. No database, no transport, no clock.

mod email;
mod password;
mod role;
mod tenant;
mod user;

pub(crate) use email::{Email, InvalidEmail};
pub(crate) use password::{Unfit, fit};
pub(crate) use role::{Role, UnknownRole, permissions};
pub(crate) use tenant::{InvalidName, Tenant, TenantName, TenantToken};
pub(crate) use user::{MAX_SESSIONS, User, UserFilter};
