//! The keys of an object of `mender.conf`, which are written in any case.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::{Map, Value};

use crate::keys::KeyPlace;

/// An object whose keys are found without regard to case.
pub(super) struct Keys<'a>(BTreeMap<String, &'a Value>);

impl<'a> Keys<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self(object.iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(&key.to_ascii_lowercase()).copied()
    }

    /// Empty texts are as good as none.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn key(&self, key: &str) -> Option<KeyPlace> {
        self.path(key).map(KeyPlace::from)
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    pub(super) fn number(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_i64()
    }

    /// More than a century is for ever, and would not fit into sums.
    pub(super) fn seconds(&self, key: &str) -> Option<Duration> {
        let seconds = u64::try_from(self.number(key)?).ok()?;
        Some(Duration::from_secs(seconds.min(u64::from(u32::MAX))))
    }

    pub(super) fn list(&self, key: &str) -> Option<&'a Vec<Value>> {
        self.get(key)?.as_array()
    }

    pub(super) fn object(&self, key: &str) -> Option<Self> {
        self.get(key)?.as_object().map(Self::new)
    }
}
