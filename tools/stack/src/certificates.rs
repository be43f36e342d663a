//! An authority and the certificates with which Rota's processes know each other.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::StackError;

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The authority's certificate (PEM).
    pub ca: PathBuf,
    /// The certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM, PKCS #8), readable by its owner alone.
    pub key: PathBuf,
}

/// A private authority in a directory.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in `dir` (`ca.pem`, `ca.key`), or makes one.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StackError> {
        let dir = dir.into();
        fs::create_dir_all(&dir).map_err(StackError::file("create", &dir))?;
        let error =
            |source| StackError::Certificate { name: "Rota's authority".to_owned(), source };
        let (certificate, key_file) = (dir.join("ca.pem"), dir.join("ca.key"));
        // The certificate is written last: with it, both are there.
        if let Ok(pem) = fs::read_to_string(&certificate) {
            let key = fs::read_to_string(&key_file).map_err(StackError::file("read", &key_file))?;
            let key = KeyPair::from_pem(&key).map_err(error)?;
            let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(error)?;
            return Ok(Self { dir, issuer });
        }
        let mut params = params("Rota private authority", 3650);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(error)?;
        let pem = params.self_signed(&key).map_err(error)?.pem();
        write_private(&key_file, &key.serialize_pem())?;
        write(&certificate, &pem, 0o644)?;
        Ok(Self { dir, issuer: Issuer::new(params, key) })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// A new certificate for the service `name`, good as server and client, for that name,
    /// `localhost`, `127.0.0.1` and `::1`, for 825 days: `name.pem` and `name.key` in the
    /// authority's directory.
    pub fn issue(&self, name: &str) -> Result<Identity, StackError> {
        let error = |source| StackError::Certificate { name: name.to_owned(), source };
        let mut params = params(name, 825);
        params.subject_alt_names = [name, "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .into_iter()
            .map(subject)
            .collect::<Result<_, _>>()
            .map_err(error)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(error)?;
        let pem = params.signed_by(&key, &self.issuer).map_err(error)?.pem();
        let identity = Identity {
            ca: self.certificate(),
            certificate: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        };
        write_private(&identity.key, &key.serialize_pem())?;
        write(&identity.certificate, &pem, 0o644)?;
        Ok(identity)
    }
}

/// Parameters for `name`, from yesterday (clocks differ) for so many days.
fn params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let day = 24 * 60 * 60;
    let now = std::time::SystemTime::now();
    let since = now - std::time::Duration::from_secs(day);
    params.not_before = since.into();
    params.not_after = (now + std::time::Duration::from_secs(day * days.unsigned_abs())).into();
    params
}

/// A subject: an address if it is one, a name otherwise.
fn subject(text: String) -> Result<rcgen::SanType, rcgen::Error> {
    match text.parse() {
        Ok(address) => Ok(rcgen::SanType::IpAddress(address)),
        Err(_) => Ok(rcgen::SanType::DnsName(text.try_into()?)),
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), StackError> {
    write(path, text, 0o600)
}

/// Writes a file that appears whole, with its mode from the first byte on.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), StackError> {
    let unfinished = path.with_extension("unfinished");
    let file = || StackError::file("write", path);
    let _ = fs::remove_file(&unfinished);
    let mut writer = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(mode)
        .open(&unfinished)
        .map_err(file())?;
    writer.write_all(text.as_bytes()).map_err(file())?;
    writer.sync_all().map_err(file())?;
    fs::rename(&unfinished, path).map_err(file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_authority_is_the_same_when_opened_again_and_its_keys_are_private() {
        let dir = tempfile::tempdir().unwrap();
        Authority::open(dir.path()).unwrap();
        let first = fs::read(dir.path().join("ca.pem")).unwrap();
        let identity = Authority::open(dir.path()).unwrap().issue("gateway").unwrap();
        assert_eq!(fs::read(dir.path().join("ca.pem")).unwrap(), first);
        for key in [&identity.key, &dir.path().join("ca.key")] {
            let mode = fs::metadata(key).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", key.display());
        }
    }
}
