//! A device with its auth sets, and the rules by which they change.

use chrono::{DateTime, Utc};
use rota_types::{AuthSetId, DeviceId};

use super::{AuthSetStatus, Change, DeviceStatus, Identity, News, Refused};

/// The most auth sets of one device. Who knows a device's identity can add one with each new
/// key, so that there must be an end.
const MAX_AUTH_SETS: usize = 64;

/// A device, whatever keys it has shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) identity: Identity,
    /// Always the best of the auth sets'.
    pub(crate) status: DeviceStatus,
    /// Being removed everywhere: it gets no token any more.
    pub(crate) decommissioning: bool,
    /// Grows with each change that others are told of.
    pub(crate) revision: i64,
    pub(crate) created: DateTime<Utc>,
    pub(crate) updated: DateTime<Utc>,
    /// When it last got a token, to about an hour.
    pub(crate) check_in: Option<DateTime<Utc>>,
    pub(crate) first_accepted: Option<DateTime<Utc>>,
    /// In the order in which they came.
    pub(crate) auth_sets: Vec<AuthSet>,
}

/// A device's identity together with one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthSet {
    pub(crate) id: AuthSetId,
    /// SHA-256 of the public key as it stands here.
    pub(crate) key_hash: [u8; 32],
    /// PEM, normalised.
    pub(crate) public_key: String,
    pub(crate) status: AuthSetStatus,
    /// Its tokens carry it; those with a smaller one are refused.
    pub(crate) epoch: i64,
    pub(crate) created: DateTime<Utc>,
}

/// Where a preauthorization found the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not at the device: a set was added.
    Added,
    /// In a set that waited or was rejected, and is preauthorized now.
    Raised,
    /// In a set that is as good or better already.
    Kept,
}

impl Device {
    /// A device that has shown nothing yet.
    pub(crate) fn new(id: DeviceId, identity: Identity, now: DateTime<Utc>) -> Self {
        Self {
            id,
            identity,
            status: DeviceStatus::NoAuth,
            decommissioning: false,
            revision: 0,
            created: now,
            updated: now,
            check_in: None,
            first_accepted: None,
            auth_sets: Vec::new(),
        }
    }

    pub(crate) fn auth_set(&self, id: AuthSetId) -> Option<&AuthSet> {
        self.auth_sets.iter().find(|set| set.id == id)
    }

    pub(crate) fn auth_set_with_key(&self, key_hash: &[u8; 32]) -> Option<&AuthSet> {
        self.auth_sets.iter().find(|set| set.key_hash == *key_hash)
    }

    /// A new key was shown: it waits for a person.
    pub(crate) fn add_pending(
        &mut self,
        set: AuthSet,
        now: DateTime<Utc>,
    ) -> Result<Change, Refused> {
        self.add(AuthSet { status: AuthSetStatus::Pending, ..set }, now)
    }

    /// A person announces a key; of a key that is known, the better status stays.
    pub(crate) fn preauthorize(
        &mut self,
        set: AuthSet,
        now: DateTime<Utc>,
    ) -> Result<(Place, Change), Refused> {
        self.refuse_decommissioning()?;
        let known = self.auth_set_with_key(&set.key_hash).map(|set| (set.id, set.status));
        let Some((id, status)) = known else {
            let set = AuthSet { status: AuthSetStatus::Preauthorized, ..set };
            return Ok((Place::Added, self.add(set, now)?));
        };
        let mut change = Change::default();
        if status >= AuthSetStatus::Preauthorized {
            return Ok((Place::Kept, change));
        }
        self.write(id, AuthSetStatus::Preauthorized, &mut change);
        self.settle(&mut change, now);
        Ok((Place::Raised, change))
    }

    /// A person decides about an auth set. `None` where it is decided like this already.
    pub(crate) fn set_status(
        &mut self,
        id: AuthSetId,
        wanted: AuthSetStatus,
        now: DateTime<Utc>,
    ) -> Result<Option<Change>, Refused> {
        let from = self.auth_set(id).ok_or(Refused::UnknownAuthSet)?.status;
        if from == wanted {
            return Ok(None);
        }
        if !from.may_become(wanted) {
            return Err(Refused::Transition { from, to: wanted });
        }
        self.refuse_decommissioning()?;
        Ok(Some(self.move_to(id, wanted, now)))
    }

    /// The device showed the key of a preauthorized set. `None` where the set is no longer
    /// preauthorized.
    pub(crate) fn activate(
        &mut self,
        id: AuthSetId,
        now: DateTime<Utc>,
    ) -> Result<Option<Change>, Refused> {
        self.refuse_decommissioning()?;
        let status = self.auth_set(id).ok_or(Refused::UnknownAuthSet)?.status;
        if status != AuthSetStatus::Preauthorized {
            return Ok(None);
        }
        self.check_in = Some(now);
        Ok(Some(self.move_to(id, AuthSetStatus::Accepted, now)))
    }

    /// Forgets an auth set. A device that was only ever announced vanishes with its last.
    pub(crate) fn dismiss(&mut self, id: AuthSetId, now: DateTime<Utc>) -> Result<Change, Refused> {
        let at =
            self.auth_sets.iter().position(|set| set.id == id).ok_or(Refused::UnknownAuthSet)?;
        let set = self.auth_sets.remove(at);
        let mut change = Change { removed: Some((id, set.epoch + 1)), ..Change::default() };
        if set.status == AuthSetStatus::Accepted {
            change.revoked.push(id);
        }
        self.settle(&mut change, now);
        if self.auth_sets.is_empty() && set.status == AuthSetStatus::Preauthorized {
            change.vanishes = true;
            change.news = News::Decommissioned;
        }
        Ok(change)
    }

    /// The device is to be removed everywhere. `None` where that is under way already.
    pub(crate) fn decommission(&mut self, now: DateTime<Utc>) -> Option<Change> {
        if self.decommissioning {
            return None;
        }
        self.decommissioning = true;
        let mut change = Change::default();
        self.revoke_accepted(&mut change);
        self.settle(&mut change, now);
        change.news = News::Decommissioned;
        Some(change)
    }

    /// The tokens of an auth set die; the device may ask for a new one. Refused as unknown
    /// where the set gets no tokens.
    pub(crate) fn revoke_tokens(&mut self, id: AuthSetId) -> Result<Change, Refused> {
        let mut change = Change::default();
        if self.auth_set(id).is_none_or(|set| set.status != AuthSetStatus::Accepted) {
            return Err(Refused::UnknownAuthSet);
        }
        self.revoke_accepted(&mut change);
        Ok(change)
    }

    fn refuse_decommissioning(&self) -> Result<(), Refused> {
        if self.decommissioning { Err(Refused::Decommissioning) } else { Ok(()) }
    }

    fn add(&mut self, set: AuthSet, now: DateTime<Utc>) -> Result<Change, Refused> {
        self.refuse_decommissioning()?;
        if self.auth_sets.len() >= MAX_AUTH_SETS {
            return Err(Refused::TooManyAuthSets);
        }
        let mut change = Change { added: Some(set.id), ..Change::default() };
        self.auth_sets.push(set);
        self.settle(&mut change, now);
        Ok(change)
    }

    fn move_to(&mut self, id: AuthSetId, wanted: AuthSetStatus, now: DateTime<Utc>) -> Change {
        let mut change = Change::default();
        if wanted == AuthSetStatus::Accepted {
            let others: Vec<_> = self.auth_sets.iter().map(|set| (set.id, set.status)).collect();
            for (other, status) in others {
                if status == AuthSetStatus::Accepted {
                    self.write(other, AuthSetStatus::Rejected, &mut change);
                }
            }
        }
        self.write(id, wanted, &mut change);
        self.settle(&mut change, now);
        change
    }

    /// Gives an auth set its status; one that was accepted loses its tokens.
    fn write(&mut self, id: AuthSetId, status: AuthSetStatus, change: &mut Change) {
        for set in self.auth_sets.iter_mut().filter(|set| set.id == id) {
            if set.status == AuthSetStatus::Accepted {
                set.epoch += 1;
                change.revoked.push(id);
            }
            set.status = status;
            change.updated.push(id);
        }
    }

    fn revoke_accepted(&mut self, change: &mut Change) {
        for set in self.auth_sets.iter_mut().filter(|set| set.status == AuthSetStatus::Accepted) {
            set.epoch += 1;
            change.updated.push(set.id);
            change.revoked.push(set.id);
        }
    }

    /// Draws the device's own status from its sets, and what follows from it.
    fn settle(&mut self, change: &mut Change, now: DateTime<Utc>) {
        let was = self.status;
        self.status = self
            .auth_sets
            .iter()
            .map(|set| DeviceStatus::Best(set.status))
            .max()
            .unwrap_or(DeviceStatus::NoAuth);
        change.takes_place = self.status == DeviceStatus::ACCEPTED && was != DeviceStatus::ACCEPTED;
        if change.takes_place && self.first_accepted.is_none() {
            self.first_accepted = Some(now);
            change.first_accepted = true;
        }
        self.revision += 1;
        self.updated = now;
        change.news = News::Changed;
    }
}

#[cfg(test)]
mod tests {
    use AuthSetStatus::{Accepted, Pending, Preauthorized, Rejected};

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn set(key: u8) -> AuthSet {
        AuthSet {
            id: AuthSetId::mint(),
            key_hash: [key; 32],
            public_key: format!("key {key}"),
            status: Pending,
            epoch: 1,
            created: NOW,
        }
    }

    fn device() -> Device {
        Device::new(DeviceId::mint(), Identity::parse(r#"{"mac":"a"}"#).unwrap(), NOW)
    }

    fn accepted() -> (Device, AuthSetId) {
        let mut device = device();
        let first = set(1);
        device.add_pending(first.clone(), NOW).unwrap();
        device.set_status(first.id, Accepted, NOW).unwrap();
        (device, first.id)
    }

    fn statuses(device: &Device) -> Vec<AuthSetStatus> {
        device.auth_sets.iter().map(|set| set.status).collect()
    }

    #[test]
    fn a_first_contact_waits_and_acceptance_takes_a_place_once() {
        let mut device = device();
        let first = set(1);
        let change = device.add_pending(first.clone(), NOW).unwrap();
        assert_eq!(change.added, Some(first.id));
        assert_eq!((device.status, device.revision), (DeviceStatus::Best(Pending), 1));
        let change = device.set_status(first.id, Accepted, NOW).unwrap().unwrap();
        assert!(change.takes_place && change.first_accepted && change.revoked.is_empty());
        assert_eq!(device.set_status(first.id, Accepted, NOW), Ok(None));
        assert_eq!(device.revision, 2);
    }

    #[test]
    fn a_second_key_replaces_the_first_and_kills_its_tokens() {
        let (mut device, first) = accepted();
        let second = set(2);
        device.add_pending(second.clone(), NOW).unwrap();
        assert_eq!(device.status, DeviceStatus::ACCEPTED);
        let change = device.set_status(second.id, Accepted, NOW).unwrap().unwrap();
        assert_eq!(statuses(&device), [Rejected, Accepted]);
        assert_eq!(change.revoked, [first]);
        assert_eq!(change.updated, [first, second.id]);
        assert!(!change.takes_place && !change.first_accepted);
        assert_eq!(device.auth_set(first).unwrap().epoch, 2);
    }

    #[test]
    fn an_announced_key_opens_by_itself_and_only_by_the_device() {
        let (mut device, first) = accepted();
        let second = set(2);
        let (place, _) = device.preauthorize(second.clone(), NOW).unwrap();
        assert_eq!((place, device.status), (Place::Added, DeviceStatus::ACCEPTED));
        assert_eq!(
            device.set_status(second.id, Accepted, NOW),
            Err(Refused::Transition { from: Preauthorized, to: Accepted })
        );
        let change = device.activate(second.id, NOW).unwrap().unwrap();
        assert_eq!(change.revoked, [first]);
        assert_eq!(statuses(&device), [Rejected, Accepted]);
        assert_eq!(device.activate(second.id, NOW), Ok(None));
    }

    #[test]
    fn announcing_a_known_key_never_makes_it_worse() {
        let (mut device, first) = accepted();
        let again = AuthSet { key_hash: [1; 32], ..set(9) };
        let (place, change) = device.preauthorize(again.clone(), NOW).unwrap();
        assert_eq!((place, change), (Place::Kept, Change::default()));
        device.set_status(first, Rejected, NOW).unwrap();
        assert_eq!(device.preauthorize(again, NOW).unwrap().0, Place::Raised);
        assert_eq!(statuses(&device), [Preauthorized]);
    }

    #[test]
    fn dismissing_leaves_what_remains() {
        let (mut device, first) = accepted();
        device.add_pending(set(2), NOW).unwrap();
        let change = device.dismiss(first, NOW).unwrap();
        assert_eq!((change.removed, change.revoked.as_slice()), (Some((first, 2)), &[first][..]));
        assert_eq!(device.status, DeviceStatus::Best(Pending));
        let last = device.auth_sets[0].id;
        assert!(!device.dismiss(last, NOW).unwrap().vanishes);
        assert_eq!(device.status, DeviceStatus::NoAuth);
        assert_eq!(device.dismiss(last, NOW), Err(Refused::UnknownAuthSet));
    }

    #[test]
    fn a_device_that_was_only_announced_vanishes_with_its_set() {
        let mut device = device();
        let announced = set(1);
        device.preauthorize(announced.clone(), NOW).unwrap();
        assert!(device.dismiss(announced.id, NOW).unwrap().vanishes);
    }

    #[test]
    fn decommissioning_ends_the_token_and_every_change() {
        let (mut device, first) = accepted();
        let change = device.decommission(NOW).unwrap();
        assert_eq!(change.revoked, [first]);
        assert_eq!(device.decommission(NOW), None);
        assert_eq!(device.set_status(first, Rejected, NOW), Err(Refused::Decommissioning));
        assert_eq!(device.add_pending(set(2), NOW), Err(Refused::Decommissioning));
        assert_eq!(device.activate(first, NOW), Err(Refused::Decommissioning));
    }

    #[test]
    fn only_what_gets_tokens_has_tokens_to_revoke() {
        let (mut device, first) = accepted();
        let before = device.revision;
        let change = device.revoke_tokens(first).unwrap();
        assert_eq!((change.revoked.as_slice(), change.news), (&[first][..], News::Nothing));
        assert_eq!((device.auth_sets[0].epoch, device.revision), (2, before));
        device.set_status(first, Rejected, NOW).unwrap();
        assert_eq!(device.revoke_tokens(first), Err(Refused::UnknownAuthSet));
    }

    #[test]
    fn new_keys_come_to_an_end() {
        let mut device = device();
        for key in 0..MAX_AUTH_SETS {
            device.add_pending(set(u8::try_from(key).unwrap()), NOW).unwrap();
        }
        assert_eq!(device.add_pending(set(255), NOW), Err(Refused::TooManyAuthSets));
    }
}
