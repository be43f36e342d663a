//! The key's file: made on demand, readable by its owner alone.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
};

use ring::rand::{SecureRandom, SystemRandom};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::SigningKey,
};

use super::{DeviceKey, KeyError, KeyPlace, TokenUri, pem};
#[cfg(feature = "pkcs11")]
use super::{
    Kind,
    token::{TlsKey, TokenKey},
};
use crate::{der, log::Log, private_files};

const SEED_BYTES: usize = 32;

/// Reads the key; a file's mode is narrowed to 0600, with a warning, if it is wider.
pub fn load(place: &KeyPlace, log: &Log) -> Result<DeviceKey, KeyError> {
    match place {
        KeyPlace::File(path) => {
            DeviceKey::from_pem(&read(path, log)?).map_err(|problem| unusable(path, problem))
        }
        KeyPlace::Token(uri) => in_token(uri),
    }
}

/// As [`load`], for a key that is only used inside TLS.
pub fn tls_key(
    place: &KeyPlace,
    provider: &CryptoProvider,
    log: &Log,
) -> Result<Arc<dyn SigningKey>, KeyError> {
    match place {
        KeyPlace::File(path) => {
            let text = read(path, log)?;
            tls_key_from_pem(&text, provider).map_err(|problem| unusable(path, problem))
        }
        KeyPlace::Token(uri) => tls_key_in_token(uri),
    }
}

fn tls_key_from_pem(
    text: &str,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>, KeyError> {
    if pem::private_key(text)?.is_encrypted {
        return Err(KeyError::Encrypted);
    }
    let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Unsupported)?;
    provider.key_provider.load_private_key(der).map_err(|_| KeyError::Unsupported)
}

#[cfg(feature = "pkcs11")]
fn in_token(uri: &TokenUri) -> Result<DeviceKey, KeyError> {
    TokenKey::load(uri).map(|key| DeviceKey(Kind::Token(key)))
}

#[cfg(feature = "pkcs11")]
fn tls_key_in_token(uri: &TokenUri) -> Result<Arc<dyn SigningKey>, KeyError> {
    Ok(Arc::new(TlsKey(TokenKey::load(uri)?)))
}

#[cfg(not(feature = "pkcs11"))]
fn in_token(uri: &TokenUri) -> Result<DeviceKey, KeyError> {
    Err(KeyError::NoTokens { uri: uri.clone() })
}

#[cfg(not(feature = "pkcs11"))]
fn tls_key_in_token(uri: &TokenUri) -> Result<Arc<dyn SigningKey>, KeyError> {
    Err(KeyError::NoTokens { uri: uri.clone() })
}

/// Reads the key; makes a new one if there is no file.
pub fn load_or_create(place: &KeyPlace, log: &Log) -> Result<DeviceKey, KeyError> {
    match (load(place, log), place) {
        (Err(KeyError::Read { source, .. }), KeyPlace::File(path))
            if source.kind() == io::ErrorKind::NotFound =>
        {
            replace(path, log)
        }
        (other, _) => other,
    }
}

/// Reads a file that nobody else should. On a file system that cannot be written it is read all the
/// same: a device that cannot show who it is cannot be repaired from afar.
fn read(path: &Path, log: &Log) -> Result<String, KeyError> {
    let failed = |source| KeyError::Read { path: path.display().to_string(), source };
    let permissions = fs::metadata(path).map_err(failed)?.permissions();
    if private_files::is_wide(&permissions) {
        let (shown, mode) = (path.display(), permissions.mode() & 0o777);
        match fs::set_permissions(path, Permissions::from_mode(private_files::MODE)) {
            Ok(()) => log.warning(format_args!("{shown} had mode {mode:o}; now 600")),
            Err(error) => log.warning(format_args!(
                "{shown} has mode {mode:o}, which lets others read the key; \
                 it cannot be set to 600: {error}"
            )),
        }
    }
    fs::read_to_string(path).map_err(failed)
}

fn unusable(path: &Path, problem: KeyError) -> KeyError {
    KeyError::Unusable { path: path.display().to_string(), source: Box::new(problem) }
}

/// Makes a new key and puts it in the place of the old one.
pub fn replace(path: &Path, log: &Log) -> Result<DeviceKey, KeyError> {
    let text = generate()?;
    write(path, &text)
        .map_err(|source| KeyError::Write { path: path.display().to_string(), source })?;
    log.info(format_args!("generated the device key {}", path.display()));
    DeviceKey::from_pem(&text)
}

pub(super) fn generate() -> Result<String, KeyError> {
    let mut seed = [0; SEED_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
    Ok(pem::encode("PRIVATE KEY", &der::ed25519_pkcs8(&seed)))
}

/// A key that was told to the server must not vanish with the next power cut.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("pem.new");
    let mut file = private_files::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Level;

    fn quiet() -> Log {
        Log::new(Level::Error, Box::new(io::sink()))
    }

    fn place(path: &Path) -> KeyPlace {
        KeyPlace::File(path.to_owned())
    }

    #[test]
    fn the_key_is_made_once_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mender-agent.pem");
        let first = load_or_create(&place(&path), &quiet()).unwrap().public_pem();
        assert_eq!(load_or_create(&place(&path), &quiet()).unwrap().public_pem(), first);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(replace(&path, &quiet()).unwrap().public_pem(), first);
    }

    #[test]
    fn a_wide_mode_is_narrowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, generate().unwrap()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        load(&place(&path), &quiet()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_key_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "junk").unwrap();
        assert!(load_or_create(&place(&path), &quiet()).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "junk");
    }
}
