//! A device as inventory knows it, and the rules by which that changes.

use std::{borrow::Cow, collections::BTreeMap, str::FromStr};

use chrono::{DateTime, SubsecRound, Utc};
use rota_types::DeviceId;
use uuid::Uuid;

use super::{Attribute, GroupName, InvalidAttribute, Scope, Value, attribute::MAX_SCOPE_BYTES};

/// A scope's attributes by name.
pub type Attributes = BTreeMap<String, Held>;

/// What is held of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The value.
    pub value: Value,
    /// Free text for people.
    pub description: Option<String>,
    /// When it was stated (UTC), where that is known.
    pub time: Option<DateTime<Utc>>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.value.bytes() + self.description.as_ref().map_or(0, String::len)
    }
}

/// How much attributes hold, names and descriptions counted in.
fn bytes(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, held)| name.len() + held.bytes()).sum()
}

/// Where deviceauth stands with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waits for somebody to accept it.
    Pending,
    /// May do what devices do.
    Accepted,
    /// May not.
    Rejected,
    /// Accepted before it was ever seen.
    Preauthorized,
    /// Has no auth set.
    Noauth,
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("status must be one of pending, accepted, rejected, preauthorized, noauth")]
pub struct UnknownStatus;

impl Status {
    const ALL: [Self; 5] =
        [Self::Pending, Self::Accepted, Self::Rejected, Self::Preauthorized, Self::Noauth];

    /// The status's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Preauthorized => "preauthorized",
            Self::Noauth => "noauth",
        }
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.word() == word).ok_or(UnknownStatus)
    }
}

/// Everything that inventory knows of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// The device.
    pub id: DeviceId,
    /// The revision of deviceauth's last word; 0 before the first.
    pub revision: i64,
    /// Absent before deviceauth's first word.
    pub status: Option<Status>,
    /// When deviceauth first saw it (UTC).
    pub created: Option<DateTime<Utc>>,
    /// When it was last heard of (UTC), to within a day.
    pub check_in: Option<DateTime<Utc>>,
    /// When anything of its attributes was last stored (UTC).
    pub updated: DateTime<Utc>,
    /// Its identity data.
    pub identity: Attributes,
    /// What it reports.
    pub inventory: Attributes,
    /// What people wrote.
    pub tags: Attributes,
    /// Renewed with every write of the tags; absent before the first.
    pub tags_etag: Option<Uuid>,
    /// Its static group.
    pub group: Option<GroupName>,
}

/// What a device, or a person for its tags, wants to become of a scope.
#[derive(Debug, Clone, PartialEq)]
pub enum Upload {
    /// These and no others.
    Replace(Vec<Attribute>),
    /// These besides the others; what has the same name is replaced.
    Merge(Vec<Attribute>),
}

impl Upload {
    /// Checks every attribute.
    pub fn check(self) -> Result<Self, InvalidAttribute> {
        let all = |attributes: Vec<Attribute>| {
            attributes.into_iter().map(Attribute::check).collect::<Result<Vec<_>, _>>()
        };
        Ok(match self {
            Self::Replace(attributes) => Self::Replace(all(attributes)?),
            Self::Merge(attributes) => Self::Merge(all(attributes)?),
        })
    }

    /// What becomes of `held`, if that is at most `max` attributes. Of two with the same name
    /// the later counts.
    fn apply(
        &self,
        held: &Attributes,
        scope: Scope,
        max: usize,
    ) -> Result<Attributes, InvalidAttribute> {
        let (mut result, stated) = match self {
            Self::Replace(stated) => (Attributes::new(), stated),
            Self::Merge(stated) => (held.clone(), stated),
        };
        for Attribute { name, value, description, time } in stated.iter().cloned() {
            result.insert(name, Held { value, description, time });
        }
        if result.len() > max {
            let (scope, count) = (scope.word(), result.len());
            return Err(InvalidAttribute::TooMany { scope, count, max });
        }
        if bytes(&result) > MAX_SCOPE_BYTES {
            return Err(InvalidAttribute::TooLarge { scope: scope.word() });
        }
        Ok(result)
    }
}

impl Device {
    /// A device of which nothing is known but that it exists.
    pub fn unknown(id: DeviceId, now: DateTime<Utc>) -> Self {
        Self {
            id,
            revision: 0,
            status: None,
            created: None,
            check_in: None,
            updated: now.trunc_subsecs(3),
            identity: Attributes::new(),
            inventory: Attributes::new(),
            tags: Attributes::new(),
            tags_etag: None,
            group: None,
        }
    }

    /// Takes in what the device reports. `false`: it said the same today already, and nothing
    /// is to be stored.
    pub fn upload(
        &mut self,
        upload: &Upload,
        max: usize,
        now: DateTime<Utc>,
    ) -> Result<bool, InvalidAttribute> {
        let inventory = upload.apply(&self.inventory, Scope::Inventory, max)?;
        let same_day = |time: DateTime<Utc>| time.date_naive() == now.date_naive();
        if inventory == self.inventory
            && same_day(self.updated)
            && self.check_in.is_some_and(same_day)
        {
            return Ok(false);
        }
        self.inventory = inventory;
        self.heard(Some(now));
        self.touch(now);
        Ok(true)
    }

    /// Takes in what a person wrote. The tags get a new `ETag` even when they stay the same.
    pub fn tag(
        &mut self,
        upload: &Upload,
        max: usize,
        now: DateTime<Utc>,
    ) -> Result<(), InvalidAttribute> {
        let mut tags = upload.apply(&self.tags, Scope::Tags, max)?;
        for tag in tags.values_mut() {
            tag.time.get_or_insert(now.trunc_subsecs(3));
        }
        self.tags = tags;
        self.tags_etag = Some(Uuid::new_v4());
        self.touch(now);
        Ok(())
    }

    /// Takes in deviceauth's word. `false`: it is not newer than what is known.
    pub fn provision(&mut self, word: Provision, now: DateTime<Utc>) -> bool {
        if word.revision <= self.revision {
            return false;
        }
        self.revision = word.revision;
        self.status = Some(word.status);
        self.identity = word.identity;
        self.created = Some(word.created.trunc_subsecs(3));
        self.heard(word.check_in);
        self.touch(now);
        true
    }

    /// Forgets what the device reported. `false`: there was nothing.
    pub fn clear(&mut self, now: DateTime<Utc>) -> bool {
        if self.inventory.is_empty() {
            return false;
        }
        self.inventory.clear();
        self.touch(now);
        true
    }

    /// How much the device's attributes hold, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        [&self.identity, &self.inventory, &self.tags].into_iter().map(bytes).sum()
    }

    fn heard(&mut self, time: Option<DateTime<Utc>>) {
        self.check_in = self.check_in.max(time.map(|time| time.trunc_subsecs(3)));
    }

    fn touch(&mut self, now: DateTime<Utc>) {
        self.updated = now.trunc_subsecs(3);
    }

    /// What search sees: the scopes, the status and the times. The group is not among them,
    /// because it is indexed apart.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (Scope, &str, Cow<'_, Value>)> {
        let scopes = [
            (Scope::Identity, &self.identity),
            (Scope::Inventory, &self.inventory),
            (Scope::Tags, &self.tags),
        ];
        let held = scopes.into_iter().flat_map(|(scope, attributes)| {
            attributes
                .iter()
                .map(move |(name, held)| (scope, name.as_str(), Cow::Borrowed(&held.value)))
        });
        held.chain(self.own().map(|(scope, name, value)| (scope, name, Cow::Owned(value))))
    }

    /// What inventory itself says of the device, the group excepted.
    pub fn own(&self) -> impl Iterator<Item = (Scope, &'static str, Value)> {
        let status = self.status.map(|status| Value::Text(status.word().to_owned()));
        [
            (Scope::Identity, "status", status),
            (Scope::System, "check_in_time", self.check_in.map(Value::Time)),
            (Scope::System, "created_ts", self.created.map(Value::Time)),
            (Scope::System, "updated_ts", Some(Value::Time(self.updated))),
        ]
        .into_iter()
        .filter_map(|(scope, name, value)| Some((scope, name, value?)))
    }
}

/// deviceauth's word on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Provision {
    /// Grows with each change; at least 1.
    pub revision: i64,
    /// The status.
    pub status: Status,
    /// The identity data, see [`identity`](fn@super::identity).
    pub identity: Attributes,
    /// When the device was first seen (UTC).
    pub created: DateTime<Utc>,
    /// When it last authenticated (UTC).
    pub check_in: Option<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn attribute(name: &str, value: &str) -> Attribute {
        Attribute {
            name: name.to_owned(),
            value: Value::Text(value.to_owned()),
            description: None,
            time: None,
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_763_726_400, 0).unwrap()
    }

    fn names(attributes: &Attributes) -> Vec<&str> {
        attributes.keys().map(String::as_str).collect()
    }

    #[test]
    fn replacing_forgets_and_merging_keeps() {
        let mut device = Device::unknown(DeviceId::mint(), noon());
        let replace = Upload::Replace(vec![attribute("a", "1"), attribute("b", "1")]);
        assert_eq!(device.upload(&replace, 2, noon()), Ok(true));
        let merge = Upload::Merge(vec![attribute("b", "2"), attribute("c", "1")]);
        assert!(device.upload(&merge, 2, noon()).is_err());
        assert_eq!(names(&device.inventory), ["a", "b"]);
        assert_eq!(device.upload(&merge, 3, noon()), Ok(true));
        assert_eq!(names(&device.inventory), ["a", "b", "c"]);
        assert_eq!(device.inventory["b"].value, Value::Text("2".to_owned()));
        let replace = Upload::Replace(vec![attribute("d", "1")]);
        assert_eq!(device.upload(&replace, 3, noon()), Ok(true));
        assert_eq!(names(&device.inventory), ["d"]);
    }

    #[test]
    fn an_unchanged_upload_is_stored_once_a_day() {
        let mut device = Device::unknown(DeviceId::mint(), noon());
        let upload = Upload::Replace(vec![attribute("a", "1")]);
        assert_eq!(device.upload(&upload, 10, noon()), Ok(true));
        let evening = noon() + TimeDelta::hours(11);
        assert_eq!(device.upload(&upload, 10, evening), Ok(false));
        assert_eq!((device.updated, device.check_in), (noon(), Some(noon())));
        let tomorrow = noon() + TimeDelta::hours(13);
        assert_eq!(device.upload(&upload, 10, tomorrow), Ok(true));
        assert_eq!((device.updated, device.check_in), (tomorrow, Some(tomorrow)));
    }

    #[test]
    fn an_older_word_changes_nothing() {
        let mut device = Device::unknown(DeviceId::mint(), noon());
        let word = |revision, status| Provision {
            revision,
            status,
            identity: Attributes::new(),
            created: noon(),
            check_in: None,
        };
        assert!(device.provision(word(2, Status::Accepted), noon()));
        assert!(!device.provision(word(1, Status::Pending), noon()));
        assert!(!device.provision(word(2, Status::Pending), noon()));
        assert_eq!(device.status, Some(Status::Accepted));
        assert!(device.provision(word(3, Status::Rejected), noon()));
    }

    #[test]
    fn tags_get_a_time_when_they_change_and_an_etag_always() {
        let mut device = Device::unknown(DeviceId::mint(), noon());
        let upload = Upload::Merge(vec![attribute("a", "1")]);
        device.tag(&upload, 10, noon()).unwrap();
        let first = device.tags_etag.unwrap();
        assert_eq!(device.tags["a"].time, Some(noon()));
        let later = noon() + TimeDelta::seconds(1);
        device.tag(&Upload::Merge(vec![attribute("b", "1")]), 10, later).unwrap();
        assert_ne!(device.tags_etag, Some(first));
        assert_eq!(device.tags["a"].time, Some(noon()));
        assert_eq!(device.tags["b"].time, Some(later));
    }
}
