//! What tokens say.

use chrono::{DateTime, TimeDelta, Utc};
use rota_types::{AuthSetId, DeviceId, Permission, SessionId, TenantId, UserId};
use serde::{Deserialize, Serialize};

/// An add-on as device tokens list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addon {
    /// `configure`, `troubleshoot`, `monitor`.
    pub name: String,
    /// Whether the tenant has it.
    pub enabled: bool,
}

/// What a device's token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceClaims {
    /// The auth set that the token was issued to.
    #[serde(rename = "jti")]
    pub auth_set: AuthSetId,
    /// The device.
    #[serde(rename = "sub")]
    pub device: DeviceId,
    /// Always `Mender`.
    pub iss: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// Always true: marks the token as a device's.
    #[serde(rename = "mender.device")]
    pub is_device: bool,
    /// The tenant.
    #[serde(rename = "mender.tenant")]
    pub tenant: TenantId,
    /// Always `enterprise`: clients show more to higher plans, and we have one.
    #[serde(rename = "mender.plan")]
    pub plan: String,
    /// Always false.
    #[serde(rename = "mender.trial")]
    pub trial: bool,
    /// The add-ons, all enabled.
    #[serde(rename = "mender.addons")]
    pub addons: Vec<Addon>,
    /// The device's epoch at the time of issue; tokens of earlier epochs are revoked.
    #[serde(rename = "rota.epoch")]
    pub epoch: u64,
    /// The tenant's epoch at the time of issue, which grows with each suspension; tokens of
    /// earlier epochs are revoked. 0 where absent: those that never carried it.
    #[serde(rename = "rota.tenant_epoch", default)]
    pub tenant_epoch: u64,
}

/// Which device's token is minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's epoch.
    pub tenant_epoch: u64,
    /// The device.
    pub device: DeviceId,
    /// Its accepted auth set.
    pub auth_set: AuthSetId,
    /// The auth set's epoch.
    pub epoch: u64,
}

impl DeviceClaims {
    /// The issuer of device tokens.
    pub const ISSUER: &'static str = "Mender";

    /// Claims for a device, from `now` on for `lifetime`.
    pub fn new(machine: Machine, now: DateTime<Utc>, lifetime: TimeDelta) -> Self {
        let Machine { tenant, tenant_epoch, device, auth_set, epoch } = machine;
        let addons = ["configure", "troubleshoot", "monitor"];
        Self {
            auth_set,
            device,
            iss: Self::ISSUER.to_owned(),
            exp: (now + lifetime).timestamp(),
            iat: now.timestamp(),
            is_device: true,
            tenant,
            plan: "enterprise".to_owned(),
            trial: false,
            addons: addons.map(|name| Addon { name: name.to_owned(), enabled: true }).to_vec(),
            epoch,
            tenant_epoch,
        }
    }
}

/// What a person's token says, be it of a sign-in or a personal access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserClaims {
    /// The sign-in, or the personal access token.
    #[serde(rename = "jti")]
    pub session: SessionId,
    /// The person.
    #[serde(rename = "sub")]
    pub user: UserId,
    /// Always `mender.useradm`.
    pub iss: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// From when on it holds, in seconds since 1970.
    pub nbf: i64,
    /// When it ends, in seconds since 1970; never, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    /// Always `mender.*`.
    pub scp: String,
    /// Always true: marks the token as a person's.
    #[serde(rename = "mender.user")]
    pub is_user: bool,
    /// The tenant.
    #[serde(rename = "mender.tenant")]
    pub tenant: TenantId,
    /// Always `enterprise`.
    #[serde(rename = "mender.plan")]
    pub plan: String,
    /// Always false.
    #[serde(rename = "mender.trial")]
    pub trial: bool,
    /// The person's epoch at the time of issue; tokens of earlier epochs are revoked.
    #[serde(rename = "rota.epoch")]
    pub epoch: u64,
    /// The person's e-mail address, lower case.
    #[serde(rename = "rota.email")]
    pub email: String,
    /// What the person's roles allow.
    #[serde(rename = "rota.permissions")]
    pub permissions: Vec<Permission>,
}

/// Whose token is minted, and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The tenant.
    pub tenant: TenantId,
    /// The person.
    pub user: UserId,
    /// The e-mail address, lower case.
    pub email: String,
    /// What the person's roles allow.
    pub permissions: Vec<Permission>,
    /// The person's epoch.
    pub epoch: u64,
}

impl UserClaims {
    /// The issuer of people's tokens.
    pub const ISSUER: &'static str = "mender.useradm";

    /// Claims for a sign-in or a personal access token of `person`, from `now` on for
    /// `lifetime`; without one the token does not end.
    pub fn new(
        session: SessionId,
        person: Person,
        now: DateTime<Utc>,
        lifetime: Option<TimeDelta>,
    ) -> Self {
        Self {
            session,
            user: person.user,
            iss: Self::ISSUER.to_owned(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: lifetime.map(|lifetime| (now + lifetime).timestamp()),
            scp: "mender.*".to_owned(),
            is_user: true,
            tenant: person.tenant,
            plan: "enterprise".to_owned(),
            trial: false,
            epoch: person.epoch,
            email: person.email,
            permissions: person.permissions,
        }
    }
}
