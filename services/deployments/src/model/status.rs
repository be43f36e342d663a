//! The status of one device in one deployment, and what may follow on what.

use std::{fmt, str::FromStr};

/// Where a device is in a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DeviceStatus {
    /// Nothing was heard of the device yet.
    Pending,
    Downloading,
    Installing,
    Rebooting,
    PauseBeforeInstalling,
    PauseBeforeRebooting,
    PauseBeforeCommitting,
    Success,
    Failure,
    /// The device had it before the deployment asked.
    AlreadyInstalled,
    /// The device's tier cannot take it.
    IncompatibleTier,
    /// No Artifact of the release fits the device.
    NoArtifact,
    /// The Artifact is larger than the device's tier takes.
    ArtifactTooBig,
    Aborted,
    Decommissioned,
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub(crate) struct UnknownStatus(pub(crate) String);

impl DeviceStatus {
    /// Every status, in the order of the enum.
    pub(crate) const ALL: [Self; 15] = [
        Self::Pending,
        Self::Downloading,
        Self::Installing,
        Self::Rebooting,
        Self::PauseBeforeInstalling,
        Self::PauseBeforeRebooting,
        Self::PauseBeforeCommitting,
        Self::Success,
        Self::Failure,
        Self::AlreadyInstalled,
        Self::IncompatibleTier,
        Self::NoArtifact,
        Self::ArtifactTooBig,
        Self::Aborted,
        Self::Decommissioned,
    ];

    /// The word of the public API, which the database holds too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Downloading => "downloading",
            Self::Installing => "installing",
            Self::Rebooting => "rebooting",
            Self::PauseBeforeInstalling => "pause_before_installing",
            Self::PauseBeforeRebooting => "pause_before_rebooting",
            Self::PauseBeforeCommitting => "pause_before_committing",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::AlreadyInstalled => "already-installed",
            Self::IncompatibleTier => "incompatible_tier",
            Self::NoArtifact => "noartifact",
            Self::ArtifactTooBig => "artifact_too_big",
            Self::Aborted => "aborted",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Whether the device may still do something about the deployment.
    pub(crate) const fn is_active(self) -> bool {
        matches!(
            self,
            Self::Pending
                | Self::Downloading
                | Self::Installing
                | Self::Rebooting
                | Self::PauseBeforeInstalling
                | Self::PauseBeforeRebooting
                | Self::PauseBeforeCommitting
        )
    }

    /// Whether the device waits for a word from its operator.
    pub(crate) const fn is_pause(self) -> bool {
        matches!(
            self,
            Self::PauseBeforeInstalling | Self::PauseBeforeRebooting | Self::PauseBeforeCommitting
        )
    }

    /// Whether a device may report it; the others are the server's to set.
    pub(crate) const fn is_reportable(self) -> bool {
        !matches!(
            self,
            Self::Pending
                | Self::NoArtifact
                | Self::ArtifactTooBig
                | Self::Aborted
                | Self::Decommissioned
        )
    }

    /// Whether the deployment was taken from the device, so that its reports are refused.
    pub(crate) const fn is_taken_back(self) -> bool {
        matches!(self, Self::Aborted | Self::Decommissioned)
    }
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DeviceStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|status| status.word() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

/// A filter on device records: one status, or one of the three words for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusFilter {
    Any,
    Is(DeviceStatus),
    Pause,
    Active,
    Finished,
}

impl StatusFilter {
    /// Reads the query's word; an empty one asks for all.
    pub(crate) fn parse(word: &str) -> Result<Self, UnknownStatus> {
        match word {
            "" => Ok(Self::Any),
            "pause" => Ok(Self::Pause),
            "active" => Ok(Self::Active),
            "finished" => Ok(Self::Finished),
            word => word.parse().map(Self::Is),
        }
    }

    /// Whether a record at `status` passes.
    pub(crate) fn passes(self, status: DeviceStatus) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => status == wanted,
            Self::Pause => status.is_pause(),
            Self::Active => status.is_active(),
            Self::Finished => !status.is_active(),
        }
    }

    /// The words of the statuses that pass; `None` when all do.
    pub(crate) fn words(self) -> Option<Vec<String>> {
        if self == Self::Any {
            return None;
        }
        let passing = DeviceStatus::ALL.into_iter().filter(|status| self.passes(*status));
        Some(passing.map(|status| status.word().to_owned()).collect())
    }
}

/// What a report of a device comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// The record takes the status.
    Set(DeviceStatus),
    /// A failure with attempts left: the device is offered the deployment again.
    Retry,
    /// A word after the end: answered as done, and nothing changes.
    Nothing,
    /// The deployment was taken from the device.
    Refused,
}

/// What a report of `reported` changes for a device that is at `present`, has been handed the
/// deployment `attempts` times and may be `retries` times more than once.
///
/// No order is asked of the states before the end: the last word wins.
pub(crate) fn report(
    present: DeviceStatus,
    reported: DeviceStatus,
    attempts: u32,
    retries: u32,
) -> Report {
    if present.is_taken_back() {
        Report::Refused
    } else if !present.is_active() {
        Report::Nothing
    } else if reported == DeviceStatus::Failure && attempts.max(1) <= retries {
        Report::Retry
    } else {
        Report::Set(reported)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_status() -> impl Strategy<Value = DeviceStatus> {
        prop::sample::select(DeviceStatus::ALL.to_vec())
    }

    #[test]
    fn every_word_comes_back() {
        for status in DeviceStatus::ALL {
            assert_eq!(status.word().parse(), Ok(status));
        }
        assert!("Success".parse::<DeviceStatus>().is_err());
    }

    #[test]
    fn a_device_may_say_what_devices_say() {
        let words: Vec<_> = DeviceStatus::ALL
            .into_iter()
            .filter(|status| status.is_reportable())
            .map(DeviceStatus::word)
            .collect();
        assert_eq!(
            words,
            [
                "downloading",
                "installing",
                "rebooting",
                "pause_before_installing",
                "pause_before_rebooting",
                "pause_before_committing",
                "success",
                "failure",
                "already-installed",
                "incompatible_tier",
            ]
        );
    }

    #[test]
    fn filters_name_sets_of_words() {
        assert_eq!(StatusFilter::parse("").unwrap().words(), None);
        assert_eq!(StatusFilter::parse("pause").unwrap().words().unwrap().len(), 3);
        let active = StatusFilter::parse("active").unwrap().words().unwrap();
        let finished = StatusFilter::parse("finished").unwrap().words().unwrap();
        assert_eq!(active.len() + finished.len(), DeviceStatus::ALL.len());
        assert_eq!(StatusFilter::parse("failure").unwrap().words().unwrap(), ["failure"]);
        assert!(StatusFilter::parse("paused").is_err());
    }

    #[test]
    fn retries_are_attempts_after_the_first() {
        use DeviceStatus::{Downloading, Failure};
        assert_eq!(report(Downloading, Failure, 1, 0), Report::Set(Failure));
        assert_eq!(report(Downloading, Failure, 1, 1), Report::Retry);
        assert_eq!(report(Downloading, Failure, 2, 1), Report::Set(Failure));
    }

    proptest! {
        #[test]
        fn nothing_changes_after_the_end(
            present in any_status(), reported in any_status(), attempts in 0u32..5, retries in 0u32..5,
        ) {
            let outcome = report(present, reported, attempts, retries);
            if present.is_taken_back() {
                prop_assert_eq!(outcome, Report::Refused);
            } else if !present.is_active() {
                prop_assert_eq!(outcome, Report::Nothing);
            } else {
                prop_assert_ne!(outcome, Report::Refused);
            }
        }

        #[test]
        fn the_last_word_before_the_end_wins(
            first in any_status(), second in any_status(), attempts in 0u32..5,
        ) {
            prop_assume!(first.is_active() && second.is_reportable());
            prop_assert_eq!(report(first, second, attempts, 0), Report::Set(second));
        }
    }
}
