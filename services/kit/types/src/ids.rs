//! Typed ids: a UUID that cannot be mistaken for another kind's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that should have been an id is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} must be a UUID")]
pub struct ParseIdError {
    /// What the id would have named, for the reader of the message.
    pub kind: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Mints a new id. Version 7: ids made later sort later, so that rows written
            /// together lie together.
            pub fn mint() -> Self {
                Self(Uuid::now_v7())
            }

            /// The bare UUID, for storage and wire types.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| ParseIdError { kind: $kind })
            }
        }
    )+};
}

ids! {
    /// One customer of the platform; every row belongs to one.
    TenantId = "tenant id",
    /// A person who signs in.
    UserId = "user id",
    /// One sign-in of a person, or one personal access token: the `jti` of a user token.
    SessionId = "session id",
    /// A device, whatever keys it has had.
    DeviceId = "device id",
    /// A device's identity together with one of its keys: the `jti` of a device token.
    AuthSetId = "auth set id",
    /// The `jti` of any token, before it is known whose it is.
    TokenId = "token id",
    /// An uploaded Artifact.
    ArtifactId = "artifact id",
    /// A deployment of a release to devices.
    DeploymentId = "deployment id",
    /// A durable job of the workflows service.
    JobId = "job id",
    /// An event; stable over redeliveries, so that consumers can tell a repeat.
    EventId = "event id",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_id_names_its_kind() {
        let error = "nonsense".parse::<DeviceId>().unwrap_err();
        assert_eq!(error.to_string(), "device id must be a UUID");
    }

    #[test]
    fn ids_minted_later_sort_later() {
        let first = EventId::mint();
        let second = EventId::mint();
        assert!(first < second);
    }
}
