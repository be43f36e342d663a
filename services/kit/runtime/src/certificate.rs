//! The certificate a server makes for itself on first start.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use chrono::{Datelike, Utc};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use crate::tls::Identity;

/// Years that a self-made certificate is valid. Devices pin it, so it must outlive them.
const VALID_YEARS: i32 = 20;

/// A certificate that could not be made or stored.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A name is neither a DNS name nor an IP address.
    #[error("cannot make a certificate for {names:?}")]
    Make {
        /// The names asked for.
        names: Vec<String>,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// The folder or a file in it cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The certificate in `dir` (`server.crt`, `server.key`), made for `names` (DNS names and IP
/// addresses, the first being the common name) when there is none yet. An existing one is
/// never touched: devices may have pinned it.
///
/// It is self-signed, with an ECDSA P-256 key that only the owner may read.
pub fn ensure_self_signed(dir: &Path, names: &[String]) -> Result<Identity, CertificateError> {
    let identity = Identity { cert: dir.join("server.crt"), key: dir.join("server.key") };
    if identity.cert.exists() && identity.key.exists() {
        return Ok(identity);
    }
    let (cert, key) =
        make(names).map_err(|source| CertificateError::Make { names: names.to_vec(), source })?;
    // The key first: a certificate without its key would count as missing, too.
    store(&identity.key, &key, 0o600)?;
    store(&identity.cert, &cert, 0o644)?;
    Ok(identity)
}

fn make(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    if let Some(name) = names.first() {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    // No key usage extension: without the right to sign certificates OpenSSL would no longer
    // take a self-signed certificate for its own issuer.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let year = Utc::now().year();
    params.not_before = date_time_ymd(year - 1, 1, 1);
    params.not_after = date_time_ymd(year + VALID_YEARS, 1, 1);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file so that it is there whole or not at all.
fn store(path: &Path, text: &str, mode: u32) -> Result<(), CertificateError> {
    let write = || -> io::Result<()> {
        let dir = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(dir)?;
        let partial = path.with_extension("partial");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    #[test]
    fn it_is_made_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("tls");
        let names = ["rota.example".to_owned(), "127.0.0.1".to_owned()];
        let made = ensure_self_signed(&home, &names).unwrap();
        let cert = std::fs::read(&made.cert).unwrap();
        assert_eq!(made.key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ensure_self_signed(&home, &["other".to_owned()]).unwrap(), made);
        assert_eq!(std::fs::read(&made.cert).unwrap(), cert);
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 2);
    }

    #[test]
    fn openssl_trusts_it_when_pinned() {
        let dir = tempfile::tempdir().unwrap();
        let made = ensure_self_signed(dir.path(), &["rota.example".to_owned()]).unwrap();
        let verified = Command::new("openssl")
            .args([
                "verify",
                "-purpose",
                "sslserver",
                "-verify_hostname",
                "rota.example",
                "-CAfile",
            ])
            .args([&made.cert, &made.cert])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
    }

    #[test]
    fn a_name_that_is_none_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = ensure_self_signed(dir.path(), &["nö".to_owned()]).unwrap_err();
        assert!(matches!(error, CertificateError::Make { .. }));
    }
}
