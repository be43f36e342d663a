//! Where a written Artifact goes: a file appears whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Seek},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::{Builder, NamedTempFile};

use super::failure::{Code, Failure};

/// An output in the making; nothing is visible before [`Output::finish`].
pub(crate) enum Output {
    /// Beside its final place, under a passing name.
    File { temporary: NamedTempFile, path: PathBuf },
    /// For standard output, pipes and devices, which cannot be written out of order.
    Stream { spool: File, path: PathBuf },
}

impl Output {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        Self::try_create(path)
            .with_context(|| format!("cannot create {}", path.display()))
            .map_err(|error| Failure::new(Code::Output, error))
    }

    fn try_create(path: &Path) -> io::Result<Self> {
        let is_special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if is_stdout(path) || is_special {
            return Ok(Self::Stream { spool: tempfile::tempfile()?, path: path.to_owned() });
        }
        // A link stays a link; what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut builder = Builder::new();
        builder.prefix(".rota-artifact-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder.unwrap_or(Path::new(".")))?;
        if let Ok(metadata) = fs::metadata(&path) {
            fs::set_permissions(temporary.path(), metadata.permissions())?;
        }
        Ok(Self::File { temporary, path })
    }

    /// Where to write.
    pub(crate) fn file(&self) -> &File {
        match self {
            Self::File { temporary, .. } => temporary.as_file(),
            Self::Stream { spool, .. } => spool,
        }
    }

    /// Makes the output visible.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let path = match &self {
            Self::File { path, .. } | Self::Stream { path, .. } => path.display().to_string(),
        };
        self.try_finish()
            .with_context(|| format!("cannot write {path}"))
            .map_err(|error| Failure::new(Code::Output, error))
    }

    fn try_finish(self) -> io::Result<()> {
        match self {
            Self::File { temporary, path } => temporary.persist(path).map(drop).map_err(Into::into),
            Self::Stream { mut spool, path } => {
                spool.rewind()?;
                if is_stdout(&path) {
                    io::copy(&mut spool, &mut io::stdout().lock())?;
                } else {
                    io::copy(&mut spool, &mut File::options().write(true).open(path)?)?;
                }
                Ok(())
            }
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
