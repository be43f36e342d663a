//! Who is signed in where: one small file that only its owner can read.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::api::ApiError;

/// A sign-in that lasts over commands.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The server's address, such as `https://localhost:8443`.
    pub(crate) server: String,
    /// A certificate (PEM file) to trust besides the system's, if any.
    pub(crate) certificate: Option<PathBuf>,
    /// The user token.
    pub(crate) token: SecretString,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    server: String,
    certificate: Option<PathBuf>,
    token: String,
}

/// Where the session lies: `$ROTA_SESSION`, or `rota/session.json` in the user's configuration.
pub(crate) fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ROTA_SESSION") {
        return Ok(path.into());
    }
    let folder = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))
        .context("no home folder to keep the session in; set ROTA_SESSION to a file")?;
    Ok(folder.join("rota/session.json"))
}

/// Reads the session.
pub(crate) fn load(path: &Path) -> Result<Session> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ApiError::NotSignedIn.into());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    let stored: Stored = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged; sign in again", path.display()))?;
    Ok(Session {
        server: stored.server,
        certificate: stored.certificate,
        token: stored.token.into(),
    })
}

/// Writes the session; a reader finds the old one or the new one, never half of it.
pub(crate) fn save(path: &Path, session: &Session) -> Result<()> {
    let stored = Stored {
        server: session.server.clone(),
        certificate: session.certificate.clone(),
        token: session.token.expose_secret().to_owned(),
    };
    let folder = path.parent().context("the session file has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .with_context(|| format!("cannot write {}", draft.display()))?;
    file.write_all(&serde_json::to_vec(&stored)?)?;
    file.sync_all()?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Forgets the session.
pub(crate) fn forget(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_session_comes_back_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rota/session.json");
        let session = Session {
            server: "https://localhost:8443".to_owned(),
            certificate: Some("/tmp/cert.pem".into()),
            token: "secret".into(),
        };
        save(&path, &session).unwrap();

        let loaded = load(&path).unwrap();
        assert_eq!(loaded.server, session.server);
        assert_eq!(loaded.token.expose_secret(), "secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        forget(&path).unwrap();
        forget(&path).unwrap();
        let error = load(&path).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ApiError::NotSignedIn)));
    }
}
