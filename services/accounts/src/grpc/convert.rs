//! Wire types to the model's and back.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use prost_types::Timestamp;
use rota_proto::accounts::v1 as pb;
use rota_types::{TenantId, UserId};
use secrecy::SecretString;

use crate::{
    app::{NewPerson, UserEdit},
    error::Error,
    model::{Email, Role, Tenant, User, UserFilter},
};

/// Years that both we and Postgres can say.
const YEARS: RangeInclusive<i32> = -4712..=262_142;

/// A person who cannot exist is one that is not found.
pub(super) fn user_id(text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| Error::UserNotFound)
}

pub(super) fn tenant_id(text: &str) -> Result<TenantId, Error> {
    text.parse().map_err(|_| Error::TenantNotFound)
}

pub(super) fn new_person(request: pb::CreateUserRequest) -> Result<NewPerson, Error> {
    Ok(NewPerson {
        email: Email::parse(&request.email)?,
        password: SecretString::from(request.password),
        roles: Role::parse_all(&request.roles)?,
    })
}

pub(super) fn self_edit(request: pb::UpdateSelfRequest) -> Result<UserEdit, Error> {
    Ok(UserEdit {
        email: request.email.as_deref().map(Email::parse).transpose()?,
        password: request.password.map(SecretString::from),
        current_password: request.current_password.map(SecretString::from),
        roles: None,
    })
}

/// The person, and what is to be changed of them.
pub(super) fn user_edit(request: pb::UpdateUserRequest) -> Result<(UserId, UserEdit), Error> {
    let id = user_id(&request.id)?;
    let edit = UserEdit {
        email: request.email.as_deref().map(Email::parse).transpose()?,
        password: request.password.map(SecretString::from),
        current_password: request.current_password.map(SecretString::from),
        roles: request.set_roles.then(|| Role::parse_all(&request.roles)).transpose()?,
    };
    Ok((id, edit))
}

pub(super) fn user_filter(request: &pb::ListUsersRequest) -> Result<UserFilter, Error> {
    let time = |seconds: Option<i64>| {
        let time = |seconds| {
            let time = DateTime::from_timestamp(seconds, 0);
            time.filter(|time| YEARS.contains(&time.year())).ok_or(Error::Time)
        };
        seconds.map(time).transpose()
    };
    let given = |texts: &[String]| (!texts.is_empty()).then(|| texts.to_vec());
    Ok(UserFilter {
        // An id that is none is nobody's, and so is an address.
        ids: given(&request.ids).map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect()),
        emails: given(&request.emails)
            .map(|emails| emails.iter().filter_map(|email| Email::parse(email).ok()).collect()),
        created_after: time(request.created_after)?,
        created_before: time(request.created_before)?,
        updated_after: time(request.updated_after)?,
        updated_before: time(request.updated_before)?,
    })
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    rota_proto::to_timestamp(time.timestamp(), time.timestamp_subsec_nanos())
}

impl From<User> for pb::User {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.to_string(),
            created: Some(timestamp(user.created)),
            updated: Some(timestamp(user.updated)),
            last_login: user.last_login.map(timestamp),
            roles: user.roles.iter().map(|role| role.name().to_owned()).collect(),
            tenant_id: user.tenant.to_string(),
        }
    }
}

impl From<Tenant> for pb::Tenant {
    fn from(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            tenant_token: tenant.token.as_str().to_owned(),
            suspended: tenant.suspended,
            created: Some(timestamp(tenant.created)),
        }
    }
}
