//! The one directory that everything is kept in.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rota_runtime::ConfigError;

/// Where things lie in the data directory.
#[derive(Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The directory that was set, or the usual one; made when it is not there.
    ///
    /// Others may pass through it, to its certificate; what is secret lies in files and
    /// directories of its owner alone.
    pub(crate) fn open(set: Option<PathBuf>) -> Result<Self> {
        let path = match set {
            Some(path) => std::path::absolute(path)?,
            None => usual()?,
        };
        if !path.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            // The umask may have taken away what Postgres' own account needs to pass through.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("cannot open {} to others", path.display()))?;
        }
        Ok(Self(path))
    }

    /// The private Postgres.
    pub(crate) fn postgres(&self) -> PathBuf {
        self.0.join("postgres")
    }

    /// Artifacts and logs.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    /// Certificate and key.
    pub(crate) fn tls(&self) -> PathBuf {
        self.0.join("tls")
    }

    /// The keys that sign download links.
    pub(crate) fn link_keys(&self) -> PathBuf {
        self.0.join("link-keys")
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// `/var/lib/rota` for root; the XDG data directory for anybody else.
fn usual() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/rota".into());
    }
    let data =
        std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| {
        ConfigError::new("--data-dir (ROTA_DATA_DIR) is needed where there is no home directory")
    })?;
    Ok(data.join("rota"))
}
