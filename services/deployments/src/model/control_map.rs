//! Update control maps: what an operator wants held, ended or let pass on the devices of a
//! deployment.
//!
//! A map names, for up to three points of an update, an action, what takes its place once a device
//! has heard it, and what holds on a device that can no longer ask. What several maps mean together
//! is for the device to judge; here it only counts whether a map may hold at all.

use std::{collections::BTreeMap, str::FromStr};

/// Priorities go from minus this to this.
const MAX_PRIORITY: i8 = 10;

/// A deployment's map. Its id on the wire is the deployment's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ControlMap {
    priority: i8,
    rules: BTreeMap<ControlPoint, Rule>,
}

/// A point at which an update can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ControlPoint {
    /// Downloaded, nothing changed yet.
    Install,
    /// Installed, before the reboot that starts the new software.
    Reboot,
    /// The new software runs, and could still be rolled back.
    Commit,
}

/// What a device does at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlAction {
    Continue,
    ForceContinue,
    Pause,
    Fail,
}

/// What a map says about one point; what it leaves out, devices fill in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    action: Option<ControlAction>,
    on_map_expire: Option<ControlAction>,
    on_action_executed: Option<ControlAction>,
}

/// Why a map is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidControlMap {
    #[error(
        "update_control_map.priority: must be between -{MAX_PRIORITY} and {MAX_PRIORITY}, not {0}"
    )]
    Priority(i32),
    #[error(
        "update_control_map.states: {0:?} is unknown; use ArtifactInstall_Enter, \
         ArtifactReboot_Enter or ArtifactCommit_Enter"
    )]
    Point(String),
    #[error(
        "update_control_map.states: {0:?} is no action; use continue, force_continue, pause or fail"
    )]
    Action(String),
    #[error(
        "update_control_map.states: on_map_expire cannot be pause, which nobody would be left to \
         end; use continue, force_continue or fail"
    )]
    EndlessPause,
}

impl ControlMap {
    pub(crate) fn new(
        priority: i32,
        rules: BTreeMap<ControlPoint, Rule>,
    ) -> Result<Self, InvalidControlMap> {
        let allowed = -MAX_PRIORITY..=MAX_PRIORITY;
        let in_range = i8::try_from(priority).ok().filter(|number| allowed.contains(number));
        Ok(Self { priority: in_range.ok_or(InvalidControlMap::Priority(priority))?, rules })
    }

    pub(crate) fn priority(&self) -> i8 {
        self.priority
    }

    /// In the order in which an update meets its points.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (ControlPoint, Rule)> {
        self.rules.iter().map(|(point, rule)| (*point, *rule))
    }

    /// Whether an update under it may go differently than without it.
    pub(crate) fn may_hold(&self) -> bool {
        let holds = |action| matches!(action, ControlAction::Pause | ControlAction::Fail);
        self.rules.values().any(|rule| rule.actions().into_iter().flatten().any(holds))
    }
}

impl Rule {
    pub(crate) fn new(
        action: Option<ControlAction>,
        on_map_expire: Option<ControlAction>,
        on_action_executed: Option<ControlAction>,
    ) -> Result<Self, InvalidControlMap> {
        if on_map_expire == Some(ControlAction::Pause) {
            return Err(InvalidControlMap::EndlessPause);
        }
        Ok(Self { action, on_map_expire, on_action_executed })
    }

    /// `action`, `on_map_expire`, `on_action_executed`, as [`Rule::new`] takes them.
    pub(crate) const fn actions(self) -> [Option<ControlAction>; 3] {
        [self.action, self.on_map_expire, self.on_action_executed]
    }
}

impl ControlPoint {
    const ALL: [Self; 3] = [Self::Install, Self::Reboot, Self::Commit];

    /// The word of the public API, which the database holds too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Install => "ArtifactInstall_Enter",
            Self::Reboot => "ArtifactReboot_Enter",
            Self::Commit => "ArtifactCommit_Enter",
        }
    }
}

impl FromStr for ControlPoint {
    type Err = InvalidControlMap;

    fn from_str(word: &str) -> Result<Self, InvalidControlMap> {
        let point = Self::ALL.into_iter().find(|point| point.word() == word);
        point.ok_or_else(|| InvalidControlMap::Point(word.to_owned()))
    }
}

impl ControlAction {
    const ALL: [Self; 4] = [Self::Continue, Self::ForceContinue, Self::Pause, Self::Fail];

    /// The word of the public API, which the database holds too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::ForceContinue => "force_continue",
            Self::Pause => "pause",
            Self::Fail => "fail",
        }
    }
}

impl FromStr for ControlAction {
    type Err = InvalidControlMap;

    fn from_str(word: &str) -> Result<Self, InvalidControlMap> {
        let action = Self::ALL.into_iter().find(|action| action.word() == word);
        action.ok_or_else(|| InvalidControlMap::Action(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(rule: Rule) -> ControlMap {
        ControlMap::new(0, [(ControlPoint::Install, rule)].into()).unwrap()
    }

    #[test]
    fn every_word_comes_back() {
        for point in ControlPoint::ALL {
            assert_eq!(point.word().parse(), Ok(point));
        }
        for action in ControlAction::ALL {
            assert_eq!(action.word().parse(), Ok(action));
        }
        assert!("artifactinstall_enter".parse::<ControlPoint>().is_err());
        assert!("Pause".parse::<ControlAction>().is_err());
    }

    #[test]
    fn priorities_end_at_ten() {
        for priority in [-10, 10] {
            let map = ControlMap::new(priority, BTreeMap::new()).unwrap();
            assert_eq!(i32::from(map.priority()), priority);
        }
        for priority in [-11, 11, 256, i32::MIN] {
            let refused = ControlMap::new(priority, BTreeMap::new());
            assert_eq!(refused, Err(InvalidControlMap::Priority(priority)));
        }
    }

    #[test]
    fn no_map_pauses_a_device_that_nobody_speaks_to() {
        let pause = Some(ControlAction::Pause);
        assert_eq!(Rule::new(pause, pause, None), Err(InvalidControlMap::EndlessPause));
        assert!(Rule::new(pause, Some(ControlAction::Continue), pause).is_ok());
    }

    #[test]
    fn a_map_holds_if_anything_in_it_may() {
        use ControlAction::{Continue, Fail, ForceContinue, Pause};
        let holds =
            |action, expire, executed| map(Rule::new(action, expire, executed).unwrap()).may_hold();
        assert!(!holds(None, None, None));
        assert!(!holds(Some(Continue), Some(ForceContinue), Some(Continue)));
        assert!(holds(Some(Pause), Some(Continue), Some(Continue)));
        assert!(holds(Some(Continue), Some(Fail), None));
        assert!(holds(None, None, Some(Pause)));
        assert!(!ControlMap::new(10, BTreeMap::new()).unwrap().may_hold());
    }
}
