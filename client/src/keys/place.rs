//! Where a private key lies: in a file, or in a token that never gives it away.

use std::{fmt, path::PathBuf};

const SCHEME: &str = "pkcs11:";

/// A key as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// PEM.
    File(PathBuf),
    Token(TokenUri),
}

impl From<PathBuf> for KeyPlace {
    /// What looks like the address of a token is one.
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            Some(text) if text.get(..SCHEME.len()).is_some_and(is_scheme) => {
                Self::Token(TokenUri(text.to_owned()))
            }
            _ => Self::File(path),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Token(uri) => uri.fmt(f),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.eq_ignore_ascii_case(SCHEME)
}

/// The address of a key in a PKCS#11 token (RFC 7512). Printed, it keeps its PIN to itself.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenUri(String);

impl TokenUri {
    /// What follows the scheme, the PIN included.
    #[cfg(feature = "pkcs11")]
    pub(super) fn rest(&self) -> &str {
        self.0.get(SCHEME.len()..).unwrap_or_default()
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The PIN is in the query; nothing there says which key is meant.
        f.write_str(self.0.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenUri({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_token_hides_its_pin() {
        let place = KeyPlace::from(PathBuf::from("PKCS11:token=t;object=o?pin-value=1234"));
        assert_eq!(place.to_string(), "PKCS11:token=t;object=o");
        assert!(!format!("{place:?}").contains("1234"));
        let file = KeyPlace::from(PathBuf::from("/etc/pkcs11:x"));
        assert_eq!(file, KeyPlace::File("/etc/pkcs11:x".into()));
    }
}
