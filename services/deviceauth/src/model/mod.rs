//! What deviceauth thinks in: identities, devices with their auth sets, and the rules by which
//! they change. No database, no transport, no clock.

mod change;
mod device;
mod identity;
mod request;
mod status;

pub(crate) use change::{Change, News, Refused};
pub(crate) use device::{AuthSet, Device, Place};
pub(crate) use identity::{Identity, InvalidIdentity};
pub(crate) use request::{AuthRequest, InvalidRequest};
pub(crate) use status::{AuthSetStatus, DeviceStatus};
