//! Update control maps.
//!
//! They are the one place where what is unknown is refused: it might have held an update that goes
//! on without it. The names of members have no case, as in every body; those of states have.

use std::collections::HashMap;

use rota_proto::deployments::v1 as wire;
use rota_rest::control_maps as rest;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Malformed;
use crate::error::Problem;

/// The member that holds a map, in every body that has one.
const MEMBER: &str = "update_control_map";

const ACTIONS: [(rest::ControlAction, wire::ControlAction); 4] = [
    (rest::ControlAction::Continue, wire::ControlAction::Continue),
    (rest::ControlAction::ForceContinue, wire::ControlAction::ForceContinue),
    (rest::ControlAction::Pause, wire::ControlAction::Pause),
    (rest::ControlAction::Fail, wire::ControlAction::Fail),
];

/// The members of a map.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Members {
    /// Whatever it is, the deployment's takes its place.
    #[serde(rename = "id")]
    _id: Option<Value>,
    priority: i32,
    states: Map<String, Value>,
}

/// The members of a state's rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rule {
    action: Option<rest::ControlAction>,
    on_map_expire: Option<rest::ControlAction>,
    on_action_executed: Option<rest::ControlAction>,
}

/// A map as somebody wrote it. Which states and priorities there are is for deployments to judge.
pub(crate) fn to_wire(map: Value) -> Result<wire::ControlMap, Problem> {
    let Members { priority, states, .. } = read(MEMBER, map)?;
    let states = states.into_iter().map(|(name, rule)| {
        let rule: Rule = read(&format!("{MEMBER}.states.{name}"), rule)?;
        let rule = wire::ControlRule {
            action: number(rule.action),
            on_map_expire: number(rule.on_map_expire),
            on_action_executed: number(rule.on_action_executed),
        };
        Ok((name, rule))
    });
    let states = states.collect::<Result<HashMap<_, _>, Problem>>()?;
    Ok(wire::ControlMap { priority, states })
}

/// The map of the deployment with this id.
pub(crate) fn from_wire(
    deployment_id: String,
    map: wire::ControlMap,
) -> Result<rest::ControlMap, Malformed> {
    let states = map.states.into_iter().map(|(name, rule)| {
        let rule = rest::ControlRule {
            action: action(rule.action)?,
            on_map_expire: action(rule.on_map_expire)?,
            on_action_executed: action(rule.on_action_executed)?,
        };
        Ok((name, rule))
    });
    let states = states.collect::<Result<_, Malformed>>()?;
    Ok(rest::ControlMap { id: deployment_id, priority: map.priority, states })
}

/// An object at `place`. Members are matched whatever their case; those that are `null` or empty
/// texts are as good as absent.
fn read<T: DeserializeOwned>(place: &str, value: Value) -> Result<T, Problem> {
    let Value::Object(members) = value else {
        return Err(Problem::invalid(format!("{place}: must be an object")));
    };
    let given = members.into_iter().filter(|(_, value)| !value.is_null() && *value != "");
    let folded = given.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    serde_json::from_value(Value::Object(folded))
        .map_err(|error| Problem::invalid(format!("{place}: {error}")))
}

fn number(action: Option<rest::ControlAction>) -> i32 {
    let known = ACTIONS.iter().find(|(rest, _)| Some(*rest) == action);
    known.map_or(wire::ControlAction::Unspecified, |(_, wire)| *wire).into()
}

fn action(number: i32) -> Result<Option<rest::ControlAction>, Malformed> {
    if number == i32::from(wire::ControlAction::Unspecified) {
        return Ok(None);
    }
    let known = ACTIONS.iter().find(|(_, wire)| i32::from(*wire) == number);
    known.map(|(rest, _)| Some(*rest)).ok_or(Malformed("control action"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(map: Value) -> String {
        to_wire(map).unwrap_err().sentence().to_owned()
    }

    #[test]
    fn a_map_comes_back_with_the_deployments_id() {
        let map = json!({"ID": "mine", "Priority": -3, "States": {
            "ArtifactInstall_Enter": {"Action": "pause", "ON_MAP_EXPIRE": "force_continue"},
            "ArtifactCommit_Enter": {"action": "", "on_action_executed": "fail"},
        }});
        let back = from_wire("d".to_owned(), to_wire(map).unwrap()).unwrap();
        let expected = json!({"id": "d", "priority": -3, "states": {
            "ArtifactInstall_Enter": {"action": "pause", "on_map_expire": "force_continue"},
            "ArtifactCommit_Enter": {"on_action_executed": "fail"},
        }});
        assert_eq!(serde_json::to_value(back).unwrap(), expected);
        assert_eq!(to_wire(json!({})).unwrap(), wire::ControlMap::default());
        assert_eq!(to_wire(json!({"states": null, "id": 7})).unwrap().priority, 0);
    }

    #[test]
    fn what_is_unknown_is_refused_and_named() {
        let state = |rule: Value| json!({"states": {"ArtifactInstall_Enter": rule}});
        assert!(refused(json!([])).starts_with("update_control_map: must be an object"));
        assert!(refused(json!({"state": {}})).contains("unknown field `state`"));
        assert!(refused(json!({"priority": 1.5})).starts_with("update_control_map: "));
        assert!(refused(json!({"states": []})).starts_with("update_control_map: "));
        for (rule, named) in [
            (json!({"action": "stop"}), "`stop`"),
            (json!({"action": "Pause"}), "`Pause`"),
            (json!({"on_expire": "fail"}), "`on_expire`"),
            (json!("pause"), "must be an object"),
            (Value::Null, "must be an object"),
        ] {
            let said = refused(state(rule));
            let place = "update_control_map.states.ArtifactInstall_Enter: ";
            assert!(said.starts_with(place) && said.contains(named), "{said}");
        }
    }
}
