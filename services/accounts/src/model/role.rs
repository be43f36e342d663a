//! Roles, and what they allow.

use std::str::FromStr;

use rota_types::Permission;

/// A role that a person may hold. Their names are Mender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    /// Everything.
    Admin,
    /// Sees everything and changes nothing.
    Observer,
}

/// A role that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown role {0:?}")]
pub(crate) struct UnknownRole(String);

impl Role {
    const ALL: [Self; 2] = [Self::Admin, Self::Observer];

    /// The name in the public API and in storage.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Admin => "RBAC_ROLE_PERMIT_ALL",
            Self::Observer => "RBAC_ROLE_OBSERVER",
        }
    }

    /// The roles named, each once; without any name the one that allows everything (server
    /// API, roles).
    pub(crate) fn parse_all(names: &[String]) -> Result<Vec<Self>, UnknownRole> {
        if names.is_empty() {
            return Ok(vec![Self::Admin]);
        }
        let mut roles = names.iter().map(|name| name.parse()).collect::<Result<Vec<Self>, _>>()?;
        roles.sort_unstable();
        roles.dedup();
        Ok(roles)
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| UnknownRole(name.to_owned()))
    }
}

/// What somebody with these roles may do: what any of them allows.
pub(crate) fn permissions(roles: &[Role]) -> Vec<Permission> {
    let allowed = |role: &Role| match role {
        Role::Admin => Permission::Manage,
        Role::Observer => Permission::Read,
    };
    let mut permissions: Vec<_> = roles.iter().map(allowed).collect();
    permissions.sort_unstable();
    permissions.dedup();
    permissions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn nobody_is_without_a_role_and_unknown_ones_are_named() {
        assert_eq!(Role::parse_all(&[]), Ok(vec![Role::Admin]));
        let twice = names(&["RBAC_ROLE_OBSERVER", "RBAC_ROLE_OBSERVER"]);
        assert_eq!(Role::parse_all(&twice), Ok(vec![Role::Observer]));
        let error = Role::parse_all(&names(&["KING"])).unwrap_err();
        assert_eq!(error.to_string(), "unknown role \"KING\"");
    }

    #[test]
    fn any_role_allows() {
        assert_eq!(permissions(&[Role::Observer]), [Permission::Read]);
        let both = permissions(&[Role::Observer, Role::Admin]);
        assert_eq!(both, [Permission::Read, Permission::Manage]);
    }
}
