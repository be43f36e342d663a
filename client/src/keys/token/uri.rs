//! `pkcs11:` addresses (RFC 7512).
//!
//! The standard has PIN and module behind the `?`. OpenSSL's engine takes them anywhere, and
//! Mender's documentation puts the PIN before it, so both are understood.

use std::{fs, path::PathBuf};

use super::TokenError;

/// Which key is meant, and how to get at it. What is `None` may be anything.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) slot: Option<u64>,
    pub(super) object: Option<Vec<u8>>,
    pub(super) id: Option<Vec<u8>>,
    pin: Option<Pin>,
    module: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq)]
enum Pin {
    Value(String),
    /// A file that holds it.
    Source(PathBuf),
}

/// Where OpenSSL's engine and provider for PKCS#11 look for the module.
const MODULE_VARIABLES: [&str; 2] = ["PKCS11_MODULE_PATH", "PKCS11_PROVIDER_MODULE"];

/// And what they use if it is named nowhere: p11-kit's, which offers all that the system knows.
const DEFAULT_MODULE: &str = "p11-kit-proxy.so";

/// More is no PIN.
const MAX_PIN_BYTES: usize = 256;

impl Address {
    /// Reads what follows the scheme.
    pub(super) fn parse(text: &str) -> Result<Self, TokenError> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut address = Self::default();
        // A query holds no plain semicolon but one that should be an ampersand.
        for part in path.split(';').chain(query.split(['&', ';'])) {
            if !part.is_empty() {
                address.take(part)?;
            }
        }
        if address.object.is_none() && address.id.is_none() {
            return Err(TokenError::Address("it names no key; add object=… or id=…".to_owned()));
        }
        Ok(address)
    }

    /// Takes one attribute. What is wrong with it is said without its value, which may be a PIN.
    fn take(&mut self, part: &str) -> Result<(), TokenError> {
        let problem = |what: &str| Err(TokenError::Address(what.to_owned()));
        let Some((name, value)) = part.split_once('=') else {
            return problem("a part lacks its =");
        };
        let bytes = decode(value)
            .ok_or_else(|| TokenError::Address(format!("{name} has a broken % sign")))?;
        let text = || {
            String::from_utf8(bytes.clone())
                .map_err(|_| TokenError::Address(format!("{name} is no text")))
        };
        match name {
            "token" => self.token = Some(text()?),
            "manufacturer" => self.manufacturer = Some(text()?),
            "model" => self.model = Some(text()?),
            "serial" => self.serial = Some(text()?),
            "slot-id" => match text()?.parse() {
                Ok(slot) => self.slot = Some(slot),
                Err(_) => return problem("slot-id is no number"),
            },
            "object" => self.object = Some(bytes),
            "id" => self.id = Some(bytes),
            "type" if bytes == b"private" => {}
            "type" => return problem("a private key is needed: type=private"),
            "pin-value" => self.pin = Some(Pin::Value(text()?)),
            "pin-source" => self.pin = Some(Pin::Source(pin_file(&text()?)?)),
            "module-path" => self.module = Some(text()?.into()),
            // They describe the module, and there is only one here.
            "library-manufacturer" | "library-description" | "library-version" => {}
            vendor if vendor.starts_with("x-") => {}
            _ => return Err(TokenError::Address(format!("{name} is not known here"))),
        }
        Ok(())
    }

    /// The module to load; a bare name is looked for where the system keeps libraries.
    pub(super) fn module(&self, variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
        let named = self.module.clone();
        let named = named.or_else(|| MODULE_VARIABLES.into_iter().find_map(variable));
        named.unwrap_or_else(|| DEFAULT_MODULE.into())
    }

    /// The PIN, if there is one.
    pub(super) fn pin(&self) -> Result<Option<String>, TokenError> {
        match &self.pin {
            None => Ok(None),
            Some(Pin::Value(pin)) => Ok(Some(pin.clone())),
            Some(Pin::Source(path)) => {
                let failed =
                    |source| TokenError::PinSource { path: path.display().to_string(), source };
                let text = fs::read_to_string(path).map_err(failed)?;
                let pin = text.lines().next().unwrap_or_default();
                if pin.is_empty() || pin.len() > MAX_PIN_BYTES {
                    let path = path.display();
                    return Err(TokenError::Address(format!("{path} holds no PIN in one line")));
                }
                Ok(Some(pin.to_owned()))
            }
        }
    }
}

/// A path, or a `file:` address of this machine.
fn pin_file(source: &str) -> Result<PathBuf, TokenError> {
    let path = source.strip_prefix("file:").unwrap_or(source);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') {
        return Ok(path.into());
    }
    Err(TokenError::Address("pin-source is neither a path nor a file: address".to_owned()))
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_the_standard_has_for_keys_is_understood() {
        let text = "token=The%20Token;manufacturer=m;model=o;serial=7;slot-id=3;id=%01%ff;\
                    object=my%3bkey;type=private;library-version=3;x-own=1\
                    ?pin-value=12%2634&module-path=/lib/m.so";
        let address = Address::parse(text).unwrap();
        assert_eq!(address.token.as_deref(), Some("The Token"));
        assert_eq!(address.manufacturer.as_deref(), Some("m"));
        assert_eq!(address.model.as_deref(), Some("o"));
        assert_eq!(address.serial.as_deref(), Some("7"));
        assert_eq!(address.slot, Some(3));
        assert_eq!(address.id.as_deref(), Some(&[1, 0xff][..]));
        assert_eq!(address.object.as_deref(), Some(&b"my;key"[..]));
        assert_eq!(address.pin().unwrap().as_deref(), Some("12&34"));
        assert_eq!(address.module(|_| None), PathBuf::from("/lib/m.so"));
    }

    #[test]
    fn pin_and_module_may_stand_on_either_side_of_the_question_mark() {
        for text in [
            "object=o;pin-value=1234;type=private;module-path=/lib/m.so",
            "pin-value=1234;object=o?module-path=/lib/m.so",
            "object=o;module-path=/lib/m.so?pin-value=1234",
            "object=o?pin-value=1234;module-path=/lib/m.so",
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.object.as_deref(), Some(&b"o"[..]), "{text}");
            assert_eq!(address.pin().unwrap().as_deref(), Some("1234"), "{text}");
            assert_eq!(address.module(|_| None), PathBuf::from("/lib/m.so"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_pin() {
        for bad in [
            "token=t",
            "object=o;color=red",
            "object=o;type=cert",
            "object=%4",
            "object",
            "object=o;slot-id=x",
            "object=o;slot-id=3&pin-value=secret",
            "object=o;type=private&pin-value=secret",
            "object=o;pin-value=secret%4",
            "object=o;pin-value=secret;secret",
            "object=o?pin-source=|cat",
            "object=o;pin-source=secret",
        ] {
            let Err(error) = Address::parse(bad) else { panic!("{bad}") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_pin_may_lie_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        let shown = path.display();
        let address = Address::parse(&format!("object=o?pin-source=file://{shown}")).unwrap();
        assert!(address.pin().is_err());
        fs::write(&path, "1234\n").unwrap();
        assert_eq!(address.pin().unwrap().as_deref(), Some("1234"));
        let plain = Address::parse(&format!("object=o?pin-source={shown}")).unwrap();
        assert_eq!(plain.pin().unwrap().as_deref(), Some("1234"));
    }

    #[test]
    fn the_module_comes_from_the_address_or_the_environment() {
        let address = Address::parse("object=o").unwrap();
        assert_eq!(address.module(|_| None), PathBuf::from(DEFAULT_MODULE));
        let from = |variable: &str| (variable == MODULE_VARIABLES[1]).then(|| "/lib/p.so".into());
        assert_eq!(address.module(from), PathBuf::from("/lib/p.so"));
    }
}
