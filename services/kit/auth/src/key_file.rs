//! Secret files: made once, readable by their owner alone, there whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path} holds no {wanted}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
}

/// The file's text; where there is no such file, what `make` gives is stored (mode 0600)
/// first. When two processes make it at once, both get what the first one stored.
pub(crate) fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> String,
) -> Result<String, KeyFileError> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            store(path, &make())
                .map_err(|source| KeyFileError::Write { path: path.to_owned(), source })?;
            std::fs::read_to_string(path)
        }
        read => read,
    }
    .map_err(|source| KeyFileError::Read { path: path.to_owned(), source })
}

fn store(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let partial = path.with_extension(format!("partial-{}", uuid::Uuid::new_v4()));
    let stored = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, unlike a rename, never replaces what somebody else has stored meanwhile.
        match std::fs::hard_link(&partial, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    std::fs::remove_file(&partial).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    stored?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/signing.pem");
        assert_eq!(load_or_create(&path, || "first".to_owned()).unwrap(), "first");
        assert_eq!(load_or_create(&path, || "second".to_owned()).unwrap(), "first");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_of_two_at_once_wins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let text = load_or_create(&path, || {
            std::fs::write(&path, "the other's").unwrap();
            "ours".to_owned()
        });
        assert_eq!(text.unwrap(), "the other's");
    }
}
