//! Update control maps: what may hold an update at three points, and what several of them together
//! say there.
//!
//! A map comes from the server or from a program on the device. For a point it names an action,
//! what takes the action's place once it was carried out, and what holds once the map is out of
//! date. Of several maps those of the highest priority that has an opinion decide; among them
//! `fail` comes before `pause`, and `pause` before `force_continue`. `continue` is no opinion. The
//! form and the rules are those of Mender's client 2.7 to 3.x.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Priorities go from minus this to this.
const MAX_PRIORITY: i8 = 10;

/// A point at which an update can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ControlPoint {
    /// Downloaded, nothing changed yet.
    Install,
    /// Installed, before the reboot that starts the new software.
    Reboot,
    /// The new software runs; from here on there is a way back.
    Commit,
}

impl ControlPoint {
    const ALL: [Self; 3] = [Self::Install, Self::Reboot, Self::Commit];

    /// The word for it in a map.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Install => "ArtifactInstall_Enter",
            Self::Reboot => "ArtifactReboot_Enter",
            Self::Commit => "ArtifactCommit_Enter",
        }
    }
}

/// What a map says at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlAction {
    /// No opinion.
    Continue,
    /// Go on, whatever maps of a lower priority say.
    ForceContinue,
    Pause,
    Fail,
}

impl ControlAction {
    const ALL: [Self; 4] = [Self::Continue, Self::ForceContinue, Self::Pause, Self::Fail];

    fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::ForceContinue => "force_continue",
            Self::Pause => "pause",
            Self::Fail => "fail",
        }
    }
}

/// What a map has to say about one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    action: ControlAction,
    on_map_expire: ControlAction,
    on_action_executed: ControlAction,
}

/// One map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct ControlMap {
    /// Together with the priority it tells maps apart. The server's is the deployment's id.
    pub id: String,
    pub priority: i8,
    rules: BTreeMap<ControlPoint, Rule>,
}

/// What all maps together say at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Continue,
    Pause,
    Fail,
}

/// A map is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidControlMap {
    #[error("the control map is not JSON: {0}")]
    Json(String),
    #[error("{place} of the control map must be {expected}")]
    Type { place: String, expected: &'static str },
    #[error("the control map has {key:?} in {place}, which is unknown there")]
    Unknown { place: &'static str, key: String },
    #[error("the control map needs an id of 1 to 128 characters")]
    Id,
    #[error("priority {0} of the control map is not between -10 and 10")]
    Priority(i64),
    #[error("{word:?} is no {key} of a control map; use one of {allowed}")]
    Action { key: &'static str, word: String, allowed: &'static str },
}

impl ControlMap {
    /// Reads a map. Keys have no case, as in Mender's client; what is unknown is refused, since it
    /// might have held the update.
    pub fn parse(json: &str) -> Result<Self, InvalidControlMap> {
        let value: Value =
            serde_json::from_str(json).map_err(|e| InvalidControlMap::Json(e.to_string()))?;
        Self::try_from(value)
    }

    /// A map that lets nothing pass.
    pub fn refusal(id: &str) -> Self {
        let fail = ControlAction::Fail;
        let rule = Rule { action: fail, on_map_expire: fail, on_action_executed: fail };
        let rules = ControlPoint::ALL.map(|point| (point, rule)).into();
        Self { id: id.to_owned(), priority: MAX_PRIORITY, rules }
    }

    /// Whether the other one takes this one's place.
    pub fn is_replaced_by(&self, other: &Self) -> bool {
        self.id == other.id && self.priority == other.priority
    }

    fn says(&self, point: ControlPoint, is_expired: bool) -> ControlAction {
        self.rules.get(&point).map_or(ControlAction::Continue, |rule| {
            if is_expired { rule.on_map_expire } else { rule.action }
        })
    }

    /// The action was carried out.
    fn executed(&mut self, point: ControlPoint) {
        if let Some(rule) = self.rules.get_mut(&point) {
            rule.action = rule.on_action_executed;
        }
    }
}

/// What maps, each with whether it has expired, say at a point. Those that were heard go over to
/// what comes after their action.
pub fn decide(maps: &mut [(ControlMap, bool)], point: ControlPoint) -> Verdict {
    let mut priorities: Vec<i8> = maps.iter().map(|(map, _)| map.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    for priority in priorities.into_iter().rev() {
        let mut strongest = ControlAction::Continue;
        for (map, is_expired) in maps.iter_mut().filter(|(map, _)| map.priority == priority) {
            let action = map.says(point, *is_expired);
            map.executed(point);
            if rank(action) > rank(strongest) {
                strongest = action;
            }
        }
        match strongest {
            ControlAction::Continue => {}
            ControlAction::ForceContinue => return Verdict::Continue,
            ControlAction::Pause => return Verdict::Pause,
            ControlAction::Fail => return Verdict::Fail,
        }
    }
    Verdict::Continue
}

/// Among maps of one priority the higher wins.
fn rank(action: ControlAction) -> u8 {
    match action {
        ControlAction::Continue => 0,
        ControlAction::ForceContinue => 1,
        ControlAction::Pause => 2,
        ControlAction::Fail => 3,
    }
}

impl TryFrom<Value> for ControlMap {
    type Error = InvalidControlMap;

    fn try_from(value: Value) -> Result<Self, InvalidControlMap> {
        let mut keys = Keys::new("the whole", value)?;
        let id = keys.text("id")?.filter(|id| (1..=128).contains(&id.len()));
        let priority = match keys.take("priority") {
            None => 0,
            Some(value) => value.as_i64().ok_or_else(|| wrong("priority", "a whole number"))?,
        };
        let mut rules = BTreeMap::new();
        if let Some(states) = keys.take("states") {
            for (name, rule) in object("states", states)? {
                let point = ControlPoint::ALL.into_iter().find(|point| point.as_str() == name);
                let unknown = InvalidControlMap::Unknown { place: "states", key: name };
                rules.insert(point.ok_or(unknown)?, Rule::try_from(rule)?);
            }
        }
        keys.end("it")?;
        let allowed = -MAX_PRIORITY..=MAX_PRIORITY;
        let in_range = i8::try_from(priority).ok().filter(|number| allowed.contains(number));
        Ok(Self {
            id: id.ok_or(InvalidControlMap::Id)?,
            priority: in_range.ok_or(InvalidControlMap::Priority(priority))?,
            rules,
        })
    }
}

impl TryFrom<Value> for Rule {
    type Error = InvalidControlMap;

    fn try_from(value: Value) -> Result<Self, InvalidControlMap> {
        let mut keys = Keys::new("a state", value)?;
        let action = keys.action("action")?.unwrap_or(ControlAction::Continue);
        let on_map_expire = match keys.action("on_map_expire")? {
            // Nobody would be left to end it.
            Some(ControlAction::Pause) => {
                return Err(InvalidControlMap::Action {
                    key: "on_map_expire",
                    word: ControlAction::Pause.as_str().to_owned(),
                    allowed: "continue, force_continue, fail",
                });
            }
            Some(action) => action,
            None if action == ControlAction::Pause => ControlAction::Fail,
            None => action,
        };
        let on_action_executed = keys.action("on_action_executed")?.unwrap_or(action);
        keys.end("a state")?;
        Ok(Self { action, on_map_expire, on_action_executed })
    }
}

impl From<ControlMap> for Value {
    fn from(map: ControlMap) -> Self {
        let rule = |rule: Rule| {
            json!({
                "action": rule.action.as_str(),
                "on_map_expire": rule.on_map_expire.as_str(),
                "on_action_executed": rule.on_action_executed.as_str(),
            })
        };
        let states: Map<_, _> = map
            .rules
            .into_iter()
            .map(|(point, of_point)| (point.as_str().to_owned(), rule(of_point)))
            .collect();
        json!({"id": map.id, "priority": map.priority, "states": states})
    }
}

impl fmt::Display for ControlMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control map {} of priority {}", self.id, self.priority)
    }
}

/// The members of an object that have not been used yet, by name in lower case.
struct Keys(BTreeMap<String, Value>);

impl Keys {
    fn new(place: &str, value: Value) -> Result<Self, InvalidControlMap> {
        let members = object(place, value)?.into_iter();
        Ok(Self(members.map(|(key, value)| (key.to_lowercase(), value)).collect()))
    }

    /// A member; `null` is none.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| !value.is_null())
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, InvalidControlMap> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(key, "a string")),
        }
    }

    /// An action; the empty word is none.
    fn action(&mut self, key: &'static str) -> Result<Option<ControlAction>, InvalidControlMap> {
        let Some(word) = self.text(key)?.filter(|word| !word.is_empty()) else { return Ok(None) };
        let action = ControlAction::ALL.into_iter().find(|action| action.as_str() == word);
        let allowed = "continue, force_continue, pause, fail";
        action.map(Some).ok_or(InvalidControlMap::Action { key, word, allowed })
    }

    fn end(mut self, place: &'static str) -> Result<(), InvalidControlMap> {
        match self.0.pop_first() {
            Some((key, _)) => Err(InvalidControlMap::Unknown { place, key }),
            None => Ok(()),
        }
    }
}

fn object(place: &str, value: Value) -> Result<Map<String, Value>, InvalidControlMap> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(wrong(place, "an object")),
    }
}

fn wrong(place: &str, expected: &'static str) -> InvalidControlMap {
    InvalidControlMap::Type { place: place.to_owned(), expected }
}
