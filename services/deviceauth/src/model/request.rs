//! The body of an authentication request, read as leniently as Mender's servers read it.

use serde_json::{Map, Value};

use super::{Identity, InvalidIdentity};

/// The longest body, in bytes: identity and key are small, and every byte is hashed before
/// anybody is known.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a device says when it asks for a token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AuthRequest {
    pub(crate) identity: Identity,
    /// PEM as it was sent.
    pub(crate) public_key: String,
    /// Empty where the device names no tenant.
    pub(crate) tenant_token: String,
}

/// Why a body is no authentication request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRequest {
    #[error("the request's body must be at most {MAX_BODY_BYTES} bytes long")]
    TooLong,
    #[error("the request's body must be a JSON object: {0}")]
    NotJson(String),
    #[error("{0} must be a string")]
    NotText(&'static str),
    #[error("{0} must be provided")]
    Missing(&'static str),
    #[error(transparent)]
    Identity(#[from] InvalidIdentity),
}

impl AuthRequest {
    /// Reads a body. Member names match in any case, unknown members are ignored, of several
    /// with one name the last counts, and null is as good as absent.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InvalidRequest> {
        if body.len() > MAX_BODY_BYTES {
            return Err(InvalidRequest::TooLong);
        }
        let members: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| InvalidRequest::NotJson(error.to_string()))?;
        let id_data = required(&members, "id_data")?;
        let public_key = required(&members, "pubkey")?;
        let tenant_token = text(&members, "tenant_token")?.unwrap_or_default();
        Ok(Self {
            identity: Identity::parse(id_data)?,
            public_key: public_key.to_owned(),
            tenant_token: tenant_token.to_owned(),
        })
    }
}

fn required<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, InvalidRequest> {
    text(members, name)?.filter(|text| !text.is_empty()).ok_or(InvalidRequest::Missing(name))
}

fn text<'a>(
    members: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, InvalidRequest> {
    let found = members
        .get(name)
        .or_else(|| members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v));
    match found {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InvalidRequest::NotText(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<AuthRequest, InvalidRequest> {
        AuthRequest::parse(body.as_bytes())
    }

    #[test]
    fn names_match_in_any_case_and_the_unknown_is_ignored() {
        let request = parse(
            r#"{"Id_Data":"{\"mac\":\"a\"}","PUBKEY":"k","tenant_token":null,"tier":"micro","x":1}"#,
        )
        .unwrap();
        assert_eq!(request.identity, Identity::parse(r#"{"mac":"a"}"#).unwrap());
        assert_eq!((request.public_key.as_str(), request.tenant_token.as_str()), ("k", ""));
    }

    #[test]
    fn what_lacks_or_has_the_wrong_type_is_named() {
        assert!(matches!(parse(""), Err(InvalidRequest::NotJson(_))));
        assert!(matches!(parse("[]"), Err(InvalidRequest::NotJson(_))));
        assert_eq!(parse("{}"), Err(InvalidRequest::Missing("id_data")));
        assert_eq!(parse(r#"{"id_data":"{}"}"#), Err(InvalidRequest::Missing("pubkey")));
        assert_eq!(
            parse(r#"{"id_data":{},"pubkey":"k"}"#),
            Err(InvalidRequest::NotText("id_data"))
        );
        assert!(matches!(
            parse(r#"{"id_data":"mac=a","pubkey":"k"}"#),
            Err(InvalidRequest::Identity(InvalidIdentity::NotJson(_)))
        ));
        let long = "x".repeat(MAX_BODY_BYTES + 1);
        assert_eq!(parse(&long), Err(InvalidRequest::TooLong));
    }
}
