//! Update control maps on this device: where they come from, how long they hold, and where they are
//! kept.
//!
//! A map comes with a deployment, from the server, which is asked for it again at half of its time;
//! or from a program on the device, which is to set it again at half of its time. One that was not
//! renewed in time has expired: from then on its `on_map_expire` holds, so that a device is not held
//! for ever by somebody who is gone. Maps are in the journal and survive restarts of the client. A
//! map from before the device started expires soon after the start, whatever its time was.
//!
//! An expired map of the device counts for the deployment that is under way, but for no new one.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    clock::Moment,
    config::{Paths, Settings},
    journal::{FileStore, JournalError, Store},
    machine::{ControlMap, ControlPoint, InvalidControlMap, Task, Verdict, decide},
    wake::Wake,
};

/// Far more than programs that could have a say.
const MAX_MAPS: usize = 32;

/// How long maps hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlTimes {
    pub expiration: Duration,
    /// From the start of the device, for maps that are older.
    pub boot_expiration: Duration,
    /// How often the server is asked for its map, at least at half of `expiration`.
    pub refresh: Duration,
}

impl ControlTimes {
    pub fn new(settings: &Settings) -> Self {
        let poll = settings.update_poll_interval;
        let expiration = settings.control_map_expiration.unwrap_or(poll * 2);
        let interval = settings.control_map_poll_interval.unwrap_or(poll);
        // Never more often than each second, whatever the configuration says.
        let refresh = interval.min(expiration / 2).max(Duration::from_secs(1));
        Self { expiration, boot_expiration: settings.control_map_boot_expiration, refresh }
    }
}

/// A map and when it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    map: ControlMap,
    set: Moment,
}

/// All maps of the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Controls {
    /// The map of the deployment that is under way.
    server: Option<Held>,
    /// Set by programs on the device.
    local: Vec<Held>,
    /// The start of the device during which an update was held last.
    held_in: Option<String>,
}

/// A map cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    Map(#[from] InvalidControlMap),
    #[error("there are {MAX_MAPS} control maps already; clear them, or use the same id again")]
    TooMany,
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Sets a map that a program on the device made, in place of the one with the same id and priority.
/// Gives the time after which it must be set again in order to stay.
pub fn set_map(
    store: &mut dyn Store,
    json: &str,
    now: &Moment,
    times: &ControlTimes,
) -> Result<Duration, ControlError> {
    let map = ControlMap::parse(json)?;
    let mut is_full = false;
    store.change(&mut |records| {
        let local = &mut records.controls.local;
        local.retain(|held| !held.map.is_replaced_by(&map));
        is_full = local.len() >= MAX_MAPS;
        if !is_full {
            local.push(Held { map: map.clone(), set: now.clone() });
        }
    })?;
    if is_full { Err(ControlError::TooMany) } else { Ok(times.expiration / 2) }
}

/// Takes maps from programs on the device, on behalf of the daemon in whose process it is.
#[derive(Clone, Debug)]
pub struct LocalMaps {
    /// Where the journal is.
    data: PathBuf,
    times: ControlTimes,
    wake: Wake,
}

impl LocalMaps {
    pub fn new(paths: &Paths, settings: &Settings, wake: &Wake) -> Self {
        let times = ControlTimes::new(settings);
        Self { data: paths.data.clone(), times, wake: wake.clone() }
    }

    /// As [`set_map`]; the daemon looks at once.
    pub fn set(&self, json: &str) -> Result<Duration, ControlError> {
        let mut store = FileStore::new(&self.data);
        let renewal = set_map(&mut store, json, &Moment::now(), &self.times)?;
        self.wake.request(Task::Poll);
        Ok(renewal)
    }
}

/// Forgets all maps that programs on the device have set.
pub fn clear_maps(store: &mut dyn Store) -> Result<(), JournalError> {
    store.change(&mut |records| records.controls.local.clear())
}

impl Controls {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Maps that another version of the client wrote and this one does not understand are
    /// forgotten: the journal holds what matters more.
    pub fn deserialize_or_forget<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(input)?;
        Ok(serde_json::from_value(value).unwrap_or_default())
    }

    /// The server's map and those of the device, each with the time that it has left; `None` if it
    /// has expired.
    pub fn maps<'a>(
        &'a self,
        now: &'a Moment,
        times: &'a ControlTimes,
    ) -> impl Iterator<Item = (&'a ControlMap, Option<Duration>)> {
        self.server.iter().chain(&self.local).map(|held| (&held.map, held.time_left(now, times)))
    }

    /// A deployment begins, with the server's map for it.
    pub fn begin(&mut self, map: Option<ControlMap>, now: &Moment, times: &ControlTimes) {
        self.server = map.map(|map| Held { map, set: now.clone() });
        self.local.retain(|held| held.time_left(now, times).is_some());
        self.held_in = None;
    }

    /// The deployment is over.
    pub fn end(&mut self) {
        self.server = None;
        self.held_in = None;
    }

    /// The server has told its map anew.
    pub fn refresh(&mut self, map: ControlMap, now: &Moment) {
        self.server = Some(Held { map, set: now.clone() });
    }

    /// Maps that another client has left, as if set before the device started; that of the server
    /// has the deployment's id.
    pub fn taken_over(maps: Vec<ControlMap>, deployment: Option<&str>) -> Self {
        let mut controls = Self::default();
        for map in maps.into_iter().take(MAX_MAPS) {
            let is_servers = controls.server.is_none() && deployment == Some(map.id.as_str());
            let held = Held { map, set: Moment::before_all() };
            if is_servers {
                controls.server = Some(held);
            } else {
                controls.local.push(held);
            }
        }
        controls
    }

    /// When the server is to be asked for its map again; `None` if it has none.
    pub fn refresh_due(&self, now: &Moment, times: &ControlTimes) -> Option<Duration> {
        let held = self.server.as_ref()?;
        let age = now.since(&held.set);
        Some(age.map_or(Duration::ZERO, |age| times.refresh.saturating_sub(age)))
    }

    /// When the next map expires.
    pub fn next_expiry(&self, now: &Moment, times: &ControlTimes) -> Option<Duration> {
        self.maps(now, times).filter_map(|(_, left)| left).min()
    }

    /// What the maps say; those that were heard go over to what comes after their action.
    pub fn decide(&mut self, point: ControlPoint, now: &Moment, times: &ControlTimes) -> Verdict {
        let mut maps: Vec<_> =
            self.maps(now, times).map(|(map, left)| (map.clone(), left.is_none())).collect();
        let verdict = decide(&mut maps, point);
        for (held, (map, _)) in self.server.iter_mut().chain(&mut self.local).zip(maps) {
            held.map = map;
        }
        verdict
    }

    /// An update is held now.
    pub fn hold(&mut self, now: &Moment) {
        self.held_in = Some(now.boot.clone());
    }

    /// Whether the device has been restarted since an update was held.
    pub fn was_restarted(&self, now: &Moment) -> bool {
        self.held_in.as_ref().is_some_and(|boot| *boot != now.boot)
    }
}

impl Held {
    fn time_left(&self, now: &Moment, times: &ControlTimes) -> Option<Duration> {
        let (lifetime, age) = match now.since(&self.set) {
            Some(age) => (times.expiration, age),
            None => (times.boot_expiration.min(times.expiration), now.uptime),
        };
        lifetime.checked_sub(age).filter(|left| !left.is_zero())
    }
}
