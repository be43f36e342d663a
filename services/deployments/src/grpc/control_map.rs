//! Control maps: wire types to domain types and back.

use rota_proto::deployments::v1 as wire;

use crate::{
    error::Error,
    model::control_map::{ControlAction, ControlMap, ControlPoint, InvalidControlMap, Rule},
};

pub(super) fn from_wire(map: wire::ControlMap) -> Result<ControlMap, Error> {
    let rules = map.states.into_iter().map(|(point, rule)| {
        let rule = Rule::new(
            action(rule.action)?,
            action(rule.on_map_expire)?,
            action(rule.on_action_executed)?,
        )?;
        Ok((point.parse::<ControlPoint>()?, rule))
    });
    let rules = rules.collect::<Result<_, InvalidControlMap>>()?;
    Ok(ControlMap::new(map.priority, rules)?)
}

fn action(number: i32) -> Result<Option<ControlAction>, InvalidControlMap> {
    use wire::ControlAction as Wire;
    let unknown = || InvalidControlMap::Action(number.to_string());
    Ok(match Wire::try_from(number).map_err(|_| unknown())? {
        Wire::Unspecified => None,
        Wire::Continue => Some(ControlAction::Continue),
        Wire::ForceContinue => Some(ControlAction::ForceContinue),
        Wire::Pause => Some(ControlAction::Pause),
        Wire::Fail => Some(ControlAction::Fail),
    })
}

pub(super) fn to_wire(map: &ControlMap) -> wire::ControlMap {
    let states = map.rules().map(|(point, rule)| {
        let [action, on_map_expire, on_action_executed] =
            rule.actions().map(|action| i32::from(number(action)));
        let rule = wire::ControlRule { action, on_map_expire, on_action_executed };
        (point.word().to_owned(), rule)
    });
    wire::ControlMap { priority: map.priority().into(), states: states.collect() }
}

fn number(action: Option<ControlAction>) -> wire::ControlAction {
    use wire::ControlAction as Wire;
    match action {
        None => Wire::Unspecified,
        Some(ControlAction::Continue) => Wire::Continue,
        Some(ControlAction::ForceContinue) => Wire::ForceContinue,
        Some(ControlAction::Pause) => Wire::Pause,
        Some(ControlAction::Fail) => Wire::Fail,
    }
}
