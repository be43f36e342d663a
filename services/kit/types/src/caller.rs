//! Who a request comes from: stated once by the gateway, carried to every service.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AuthSetId, DeviceId, SessionId, TenantId, UserId};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// A device with an accepted auth set.
    Device {
        /// The device.
        id: DeviceId,
        /// The auth set its token was issued to.
        auth_set: AuthSetId,
    },
    /// A person, or a program with a person's token.
    User {
        /// The person.
        id: UserId,
        /// The sign-in or personal access token used.
        session: SessionId,
        /// The e-mail address, lower case.
        email: String,
    },
    /// Another service acting for itself: a job, a sweep.
    Service {
        /// The service's name, such as `workflows`.
        name: String,
    },
    /// Nobody yet: sign-in, a device's authentication request, a signed link.
    Anonymous,
}

/// What a caller may do. The gateway derives it from roles; services check what they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// What a device may do for itself: poll, report, send inventory.
    Device,
    /// See devices, releases, deployments, people.
    Read,
    /// Change anything of the tenant.
    Manage,
    /// What services do among themselves.
    Internal,
    /// Nothing but the calls that need no token.
    Public,
}

/// The caller of a request: tenant, actor, permissions and until when the statement holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The tenant that every query of the request is bound to.
    pub tenant: TenantId,
    /// Who acts.
    pub actor: Actor,
    /// What the actor may do.
    pub permissions: Vec<Permission>,
    /// When the statement ends (UTC); a service refuses it afterwards.
    pub expires: DateTime<Utc>,
    /// The request's id, echoed to the caller and written into every log line and event.
    pub request_id: String,
    /// The address the request came from, where there is one.
    pub address: Option<String>,
}

/// A caller entry that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CallerDecodeError {
    /// Not base64url without padding.
    #[error("caller entry is not base64url")]
    Encoding(#[source] base64::DecodeError),
    /// Not the JSON of a caller.
    #[error("caller entry is not a caller")]
    Json(#[source] serde_json::Error),
}

impl Caller {
    /// The gRPC metadata entry that carries a caller.
    pub const METADATA_KEY: &'static str = "rota-caller";

    /// A service acting for itself in a tenant. `expires` is UTC.
    pub fn service(name: &str, tenant: TenantId, expires: DateTime<Utc>) -> Self {
        Self {
            tenant,
            actor: Actor::Service { name: name.to_owned() },
            permissions: vec![Permission::Internal],
            expires,
            request_id: uuid::Uuid::new_v4().to_string(),
            address: None,
        }
    }

    /// The entry's text: JSON in base64url without padding.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("a caller holds nothing that JSON cannot");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads what [`Caller::encode`] wrote.
    pub fn decode(text: &str) -> Result<Self, CallerDecodeError> {
        let json = URL_SAFE_NO_PAD.decode(text).map_err(CallerDecodeError::Encoding)?;
        serde_json::from_slice(&json).map_err(CallerDecodeError::Json)
    }

    /// Whether the caller may do what `permission` names. [`Permission::Manage`] includes
    /// [`Permission::Read`]; [`Permission::Internal`] includes everything.
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.iter().any(|held| match held {
            Permission::Internal => true,
            Permission::Manage => {
                matches!(permission, Permission::Manage | Permission::Read)
            }
            held => *held == permission,
        })
    }

    /// The device that calls, if one does.
    pub fn device(&self) -> Option<DeviceId> {
        match self.actor {
            Actor::Device { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The person who calls, if one does.
    pub fn user(&self) -> Option<UserId> {
        match self.actor {
            Actor::User { id, .. } => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(permissions: Vec<Permission>) -> Caller {
        Caller {
            tenant: TenantId::mint(),
            actor: Actor::User {
                id: UserId::mint(),
                session: SessionId::mint(),
                email: "a@example.com".to_owned(),
            },
            permissions,
            expires: DateTime::UNIX_EPOCH,
            request_id: "r".to_owned(),
            address: Some("127.0.0.1".to_owned()),
        }
    }

    #[test]
    fn a_caller_survives_the_wire() {
        let sent = caller(vec![Permission::Manage]);
        assert_eq!(Caller::decode(&sent.encode()).unwrap(), sent);
        assert!(Caller::decode("!").is_err());
        assert!(Caller::decode("e30").is_err());
    }

    #[test]
    fn manage_includes_read_and_nothing_of_devices() {
        let person = caller(vec![Permission::Manage]);
        assert!(person.may(Permission::Read));
        assert!(!person.may(Permission::Device));
        assert!(!caller(vec![Permission::Read]).may(Permission::Manage));
    }
}
