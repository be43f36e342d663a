//! Where a private key lies: in a file, or in a token that never gives it away.

use std::{fmt, path::PathBuf};

const SCHEME: &str = "pkcs11:";

/// The attributes that say which key is meant. All others, known or not, may hold a secret.
const SHOWN: [&str; 11] = [
    "token",
    "manufacturer",
    "model",
    "serial",
    "slot-id",
    "object",
    "id",
    "type",
    "library-manufacturer",
    "library-description",
    "library-version",
];

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
        let (scheme, rest) = self.0.split_at(SCHEME.len());
        let path = rest.split('?').next().unwrap_or_default();
        let shown: Vec<_> = path.split(';').filter(|attribute| is_shown(attribute)).collect();
        write!(f, "{scheme}{}", shown.join(";"))
    }
}

fn is_shown(attribute: &str) -> bool {
    let (name, value) = attribute.split_once('=').unwrap_or_default();
    // Nor is what follows a separator that does not belong there.
    SHOWN.contains(&name) && !value.contains("pin-value")
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
        for (address, shown) in [
            ("object=o;pin-value=1234;type=private", "object=o;type=private"),
            ("pin-value=1234;object=o?module-path=/lib/m.so", "object=o"),
            ("object=o;PIN-VALUE=1234;token=t", "object=o;token=t"),
            ("object=o;pin%2dvalue=1234", "object=o"),
            ("token=t;object=o&pin-value=1234", "token=t"),
            ("object=o;1234", "object=o"),
        ] {
            let place = KeyPlace::from(PathBuf::from(format!("pkcs11:{address}")));
            assert_eq!(place.to_string(), format!("pkcs11:{shown}"), "{address}");
        }
        let file = KeyPlace::from(PathBuf::from("/etc/pkcs11:x"));
        assert_eq!(file, KeyPlace::File("/etc/pkcs11:x".into()));
    }
}
