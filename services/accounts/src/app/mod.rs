//! What accounts does, one function for each thing that is asked of it.

mod sign_in;
mod tenants;
mod users;

pub(crate) use sign_in::Lasting;
pub(crate) use users::{NewPerson, UserEdit};
