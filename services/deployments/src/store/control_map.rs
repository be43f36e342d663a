//! A control map as the column `control_map` of `deployments` holds it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use super::column;
use crate::model::control_map::{ControlAction, ControlMap, ControlPoint, InvalidControlMap, Rule};

const COLUMN: &str = "control_map";

/// The column's JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    priority: i32,
    /// By the points' words.
    states: BTreeMap<String, RuleRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RuleRow {
    action: Option<String>,
    on_map_expire: Option<String>,
    on_action_executed: Option<String>,
}

/// A map on its way into the column.
pub(super) fn write(map: &ControlMap) -> Json<Row> {
    Json(map.into())
}

/// What the column holds.
pub(super) fn read(column: Option<Json<Row>>) -> Result<Option<ControlMap>, sqlx::Error> {
    column.map(|Json(row)| row.try_into()).transpose()
}

impl From<&ControlMap> for Row {
    fn from(map: &ControlMap) -> Self {
        let word = |action: Option<ControlAction>| action.map(|action| action.word().to_owned());
        let states = map.rules().map(|(point, rule)| {
            let [action, on_map_expire, on_action_executed] = rule.actions().map(word);
            (point.word().to_owned(), RuleRow { action, on_map_expire, on_action_executed })
        });
        Self { priority: map.priority().into(), states: states.collect() }
    }
}

impl TryFrom<Row> for ControlMap {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        let inconsistent = |error: InvalidControlMap| column::unknown(COLUMN, &error.to_string());
        let action = |word: Option<String>| word.map(|word| column::word(COLUMN, &word));
        let rules = row.states.into_iter().map(|(point, rule)| {
            let rule = Rule::new(
                action(rule.action).transpose()?,
                action(rule.on_map_expire).transpose()?,
                action(rule.on_action_executed).transpose()?,
            );
            Ok((column::word::<ControlPoint>(COLUMN, &point)?, rule.map_err(inconsistent)?))
        });
        let rules = rules.collect::<Result<_, sqlx::Error>>()?;
        Self::new(row.priority, rules).map_err(inconsistent)
    }
}
