//! What one operation does to a device: decided by the rules in [`Device`], carried out by the
//! store in one transaction.
//!
//! [`Device`]: super::Device

use rota_types::AuthSetId;

use super::AuthSetStatus;

/// What is to be written beside the device's own row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Change {
    /// An auth set that was not there before.
    pub(crate) added: Option<AuthSetId>,
    /// Auth sets with a new status or epoch, in the order of writing: whatever stops being
    /// accepted comes before what starts to be.
    pub(crate) updated: Vec<AuthSetId>,
    /// An auth set that is gone, and the epoch below which its tokens are refused.
    pub(crate) removed: Option<(AuthSetId, i64)>,
    /// Auth sets whose tokens die at once.
    pub(crate) revoked: Vec<AuthSetId>,
    /// The device takes a place of the tenant's limit.
    pub(crate) takes_place: bool,
    /// The device is accepted for the first time.
    pub(crate) first_accepted: bool,
    /// The device vanishes as if it had never been.
    pub(crate) vanishes: bool,
    /// What others are told.
    pub(crate) news: News,
}

/// What others are told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum News {
    /// Nothing: the change is between the device and us.
    #[default]
    Nothing,
    /// The device as it is now.
    Changed,
    /// That the device is to be removed everywhere.
    Decommissioned,
}

/// Why a device does not change like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("auth set not found")]
    UnknownAuthSet,
    #[error("an auth set that is {from} cannot become {to}")]
    Transition { from: AuthSetStatus, to: AuthSetStatus },
    #[error("the device is being decommissioned")]
    Decommissioning,
    #[error("the device has too many auth sets: dismiss some of them")]
    TooManyAuthSets,
}
