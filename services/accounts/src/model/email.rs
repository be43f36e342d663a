//! E-mail addresses, as the names that people sign in with.

use std::fmt;

/// The longest address, in characters (server API, common names).
const MAX_LENGTH: usize = 256;

/// An address in lower case. Unique over all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Email(String);

/// Why a text is no address to sign in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEmail {
    #[error("an e-mail address must have at most {MAX_LENGTH} characters")]
    TooLong,
    #[error("an e-mail address must be plain ASCII, like name@example.com")]
    Form,
}

impl Email {
    /// Reads an address; its case is of no account.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidEmail> {
        if text.len() > MAX_LENGTH {
            return Err(InvalidEmail::TooLong);
        }
        let (local, domain) = text.split_once('@').ok_or(InvalidEmail::Form)?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
        if plain(local) && plain(domain) && !domain.contains('@') {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidEmail::Form)
        }
    }

    /// An address that was parsed before.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub(crate) fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(local, _)| local)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_folded_and_nonsense_refused() {
        assert_eq!(Email::parse("Ann@Example.COM").unwrap().as_str(), "ann@example.com");
        assert_eq!(Email::parse("admin@localhost").unwrap().local_part(), "admin");
        for text in ["", "ann", "@b", "a@", "a b@c", "a@b@c", "änn@b", "a\0@b", "a@b\n"] {
            assert_eq!(Email::parse(text), Err(InvalidEmail::Form), "{text:?}");
        }
        let long = format!("{}@b", "a".repeat(MAX_LENGTH));
        assert_eq!(Email::parse(&long), Err(InvalidEmail::TooLong));
    }
}
