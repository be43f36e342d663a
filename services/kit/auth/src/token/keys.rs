//! The keys that sign tokens, and the public half that verifies them.

use std::{collections::HashMap, fmt, path::Path};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use x509_parser::pem::Pem;

use super::{DeviceClaims, UserClaims};
use crate::key_file::{self, KeyFileError};

const PEM_LABEL: &str = "PRIVATE KEY";

/// Keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No Ed25519 private key in PKCS#8 PEM.
    #[error("no Ed25519 private key in PKCS#8 PEM")]
    Private,
    /// Not a set of Ed25519 public keys.
    #[error("no set of Ed25519 public keys: {0}")]
    Public(&'static str),
    /// The operating system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// The key file.
    #[error(transparent)]
    File(#[from] KeyFileError),
}

struct SigningKey {
    id: String,
    public: [u8; 32],
    private: EncodingKey,
}

/// The private keys of an issuer. The first one signs; all are published, so that tokens
/// signed before a rotation hold until they expire.
///
/// To rotate, put a new key behind the others, wait until every verifier has it, move it to
/// the front, and remove the old one when its last token has expired.
pub struct SigningKeys {
    signing: SigningKey,
    others: Vec<SigningKey>,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("signing", &self.signing.id).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// A new private key, as PEM.
    pub fn generate_pem() -> Result<SecretString, KeyError> {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        Ok(SecretString::from(pem(PEM_LABEL, pkcs8.as_ref())))
    }

    /// Reads one or more private keys (PKCS#8 PEM, as `openssl genpkey -algorithm ed25519`
    /// writes them, too). The first one signs.
    pub fn from_pem(text: &SecretString) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for block in Pem::iter_from_buffer(text.expose_secret().as_bytes()) {
            let block = block.map_err(|_| KeyError::Private)?;
            if block.label != PEM_LABEL {
                return Err(KeyError::Private);
            }
            keys.push(SigningKey::from_pkcs8(&block.contents)?);
        }
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(KeyError::Private)?;
        Ok(Self { signing, others: keys.collect() })
    }

    /// Reads the keys in `path`, which is made with one new key where it does not exist.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let fresh = Self::generate_pem()?;
        let text = key_file::load_or_create(path, || fresh.expose_secret().to_owned())?;
        Self::from_pem(&SecretString::from(text)).map_err(|_| {
            KeyError::File(KeyFileError::Content {
                path: path.to_owned(),
                wanted: "Ed25519 private key in PKCS#8 PEM",
            })
        })
    }

    /// The id of the key that signs.
    pub fn key_id(&self) -> &str {
        &self.signing.id
    }

    /// The public keys, for verifiers.
    pub fn key_set(&self) -> KeySet {
        let keys = std::iter::once(&self.signing).chain(&self.others);
        KeySet::new(keys.map(|key| (key.id.clone(), key.public)))
    }

    /// Signs a device's token.
    pub fn mint_device(&self, claims: &DeviceClaims) -> String {
        self.mint(claims)
    }

    /// Signs a person's token.
    pub fn mint_user(&self, claims: &UserClaims) -> String {
        self.mint(claims)
    }

    fn mint<T: Serialize>(&self, claims: &T) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.signing.id.clone());
        jsonwebtoken::encode(&header, claims, &self.signing.private)
            .expect("the key was parsed before, and claims are plain JSON")
    }
}

impl SigningKey {
    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        // OpenSSL writes keys without the public half, which is then derived.
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Private)?;
        let public: [u8; 32] =
            pair.public_key().as_ref().try_into().map_err(|_| KeyError::Private)?;
        Ok(Self { id: key_id(&public), public, private: EncodingKey::from_ed_der(der) })
    }
}

/// Names a key after itself, so that every replica gives it the same name.
fn key_id(public: &[u8; 32]) -> String {
    let digest = digest::digest(&digest::SHA256, public);
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

/// PEM with lines of 64 characters (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text + "-----END " + label + "-----\n"
}

/// The public keys of an issuer, by key id. Written as a JSON Web Key Set (RFC 7517, 8037).
#[derive(Clone)]
pub struct KeySet {
    keys: HashMap<String, PublicKey>,
}

#[derive(Clone)]
struct PublicKey {
    raw: [u8; 32],
    decoding: DecodingKey,
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.keys.keys()).finish()
    }
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.keys.len() == other.keys.len()
            && self
                .keys
                .iter()
                .all(|(id, key)| other.keys.get(id).is_some_and(|other| other.raw == key.raw))
    }
}

#[derive(Serialize, Deserialize)]
struct JsonWebKeySet {
    keys: Vec<JsonWebKey>,
}

#[derive(Serialize, Deserialize)]
struct JsonWebKey {
    kty: String,
    crv: String,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    kid: String,
    x: String,
}

impl KeySet {
    /// A set of raw public keys by their ids, as tokens name them in `kid`.
    pub fn new(keys: impl IntoIterator<Item = (String, [u8; 32])>) -> Self {
        let keys = keys.into_iter().map(|(id, raw)| {
            let decoding = DecodingKey::from_ed_der(&raw);
            (id, PublicKey { raw, decoding })
        });
        Self { keys: keys.collect() }
    }

    /// Writes the set as JSON.
    pub fn to_json(&self) -> String {
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .map(|(id, key)| JsonWebKey {
                kty: "OKP".to_owned(),
                crv: "Ed25519".to_owned(),
                alg: Some("EdDSA".to_owned()),
                usage: Some("sig".to_owned()),
                kid: id.clone(),
                x: URL_SAFE_NO_PAD.encode(key.raw),
            })
            .collect();
        keys.sort_by(|a, b| a.kid.cmp(&b.kid));
        serde_json::to_string(&JsonWebKeySet { keys }).expect("a key set is plain JSON")
    }

    /// Reads what [`KeySet::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, KeyError> {
        let set: JsonWebKeySet =
            serde_json::from_str(text).map_err(|_| KeyError::Public("not a JSON Web Key Set"))?;
        let keys = set.keys.into_iter().map(|key| {
            if key.kty != "OKP" || key.crv != "Ed25519" {
                return Err(KeyError::Public("a key is not Ed25519"));
            }
            let raw = URL_SAFE_NO_PAD.decode(&key.x).ok().and_then(|raw| raw.try_into().ok());
            let raw = raw.ok_or(KeyError::Public("a key is not 32 bytes"))?;
            Ok((key.kid, raw))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(KeyError::Public("the set is empty"));
        }
        Ok(Self::new(keys))
    }

    /// The key of that name.
    pub(super) fn get(&self, id: &str) -> Option<&DecodingKey> {
        self.keys.get(id).map(|key| &key.decoding)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn keys_are_kept_in_their_file_and_named_after_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.pem");
        let made = SigningKeys::load_or_create(&path).unwrap();
        let read = SigningKeys::load_or_create(&path).unwrap();
        assert_eq!(made.key_id(), read.key_id());
        assert_eq!(made.key_set(), read.key_set());
        std::fs::write(&path, "nonsense").unwrap();
        let error = SigningKeys::load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("signing.pem"), "{error}");
    }

    #[test]
    fn keys_of_openssl_are_read() {
        let made = Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).output();
        let pem = String::from_utf8(made.unwrap().stdout).unwrap();
        SigningKeys::from_pem(&SecretString::from(pem)).unwrap();
    }

    #[test]
    fn a_rotation_publishes_all_keys_and_signs_with_the_first() {
        let old = SigningKeys::generate_pem().unwrap();
        let new = SigningKeys::generate_pem().unwrap();
        let both = format!("{}{}", new.expose_secret(), old.expose_secret());
        let both = SigningKeys::from_pem(&SecretString::from(both)).unwrap();
        let new = SigningKeys::from_pem(&new).unwrap();
        let old = SigningKeys::from_pem(&old).unwrap();
        assert_eq!(both.key_id(), new.key_id());
        assert!(both.key_set().get(old.key_id()).is_some());
    }

    #[test]
    fn the_public_set_survives_json_and_refuses_other_keys() {
        let keys = SigningKeys::from_pem(&SigningKeys::generate_pem().unwrap()).unwrap();
        let json = keys.key_set().to_json();
        assert_eq!(KeySet::from_json(&json).unwrap(), keys.key_set());
        assert!(KeySet::from_json(&json.replace("Ed25519", "X25519")).is_err());
        assert!(KeySet::from_json(r#"{"keys":[]}"#).is_err());
        assert!(KeySet::from_json("[]").is_err());
    }

    #[test]
    fn no_secret_is_printed() {
        let pem = SigningKeys::generate_pem().unwrap();
        let body = pem.expose_secret().lines().nth(1).unwrap().to_owned();
        let keys = SigningKeys::from_pem(&pem).unwrap();
        assert!(!format!("{pem:?}{keys:?}").contains(&body));
    }
}
