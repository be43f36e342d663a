//! How far an auth set, and with it its device, has come.

use std::{fmt, str::FromStr};

/// The status of one auth set. The order is that of worth: the best of its sets gives a device
/// its own status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum AuthSetStatus {
    /// Turned down by a person; stays so until one says otherwise.
    Rejected,
    /// Waits for a person's decision.
    Pending,
    /// Will be accepted when the device shows its key.
    Preauthorized,
    /// Gets tokens.
    Accepted,
}

/// The status of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DeviceStatus {
    /// No auth set is left.
    NoAuth,
    /// The best of its auth sets.
    Best(AuthSetStatus),
}

/// A word that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status {0:?}")]
pub(crate) struct UnknownStatus(pub(crate) String);

impl AuthSetStatus {
    pub(crate) const ALL: [Self; 4] =
        [Self::Rejected, Self::Pending, Self::Preauthorized, Self::Accepted];

    /// The word for it, in storage and in events.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Pending => "pending",
            Self::Preauthorized => "preauthorized",
            Self::Accepted => "accepted",
        }
    }

    /// Whether a person may move an auth set from here to `wanted` (server API, auth-set
    /// transitions). A preauthorized set moves only by the device itself.
    pub(crate) const fn may_become(self, wanted: Self) -> bool {
        matches!(
            (self, wanted),
            (Self::Pending | Self::Rejected, Self::Accepted)
                | (Self::Pending | Self::Accepted, Self::Rejected)
                | (Self::Rejected | Self::Accepted, Self::Pending)
        )
    }
}

impl DeviceStatus {
    pub(crate) const ACCEPTED: Self = Self::Best(AuthSetStatus::Accepted);

    /// The word for it, in storage and in events.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NoAuth => "noauth",
            Self::Best(status) => status.word(),
        }
    }
}

impl fmt::Display for AuthSetStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for AuthSetStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.word() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}

impl FromStr for DeviceStatus {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        if word == Self::NoAuth.word() { Ok(Self::NoAuth) } else { word.parse().map(Self::Best) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for status in AuthSetStatus::ALL {
            assert_eq!(status.word().parse(), Ok(status));
            assert_eq!(status.word().parse(), Ok(DeviceStatus::Best(status)));
        }
        assert_eq!("noauth".parse(), Ok(DeviceStatus::NoAuth));
        assert!("noauth".parse::<AuthSetStatus>().is_err());
    }

    #[test]
    fn the_best_set_counts() {
        use AuthSetStatus::{Accepted, Pending, Preauthorized, Rejected};
        assert!(Accepted > Preauthorized && Preauthorized > Pending && Pending > Rejected);
        assert!(DeviceStatus::Best(Rejected) > DeviceStatus::NoAuth);
    }

    #[test]
    fn people_move_sets_as_the_table_says() {
        use AuthSetStatus::{Accepted, Pending, Preauthorized, Rejected};
        let allowed = [
            (Pending, Accepted),
            (Rejected, Accepted),
            (Pending, Rejected),
            (Accepted, Rejected),
            (Rejected, Pending),
            (Accepted, Pending),
        ];
        for from in AuthSetStatus::ALL {
            for to in AuthSetStatus::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from} → {to}");
            }
        }
        assert!(!Preauthorized.may_become(Accepted));
    }
}
