//! Where payload files come from: read once for the checksum, once more for the content.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{Checksum, checksum::Hasher};

use super::WriteError;

/// Size of the pieces in which files are read.
pub(super) const CHUNK_BYTES: usize = 256 << 10;

/// A payload file as it was given.
pub(super) enum Input {
    Path(PathBuf),
    Bytes { name: String, content: Vec<u8> },
}

impl Input {
    /// The base name under which it goes into the Artifact.
    pub(super) fn name(&self) -> Result<String, WriteError> {
        match self {
            Self::Bytes { name, .. } => Ok(name.clone()),
            Self::Path(path) => {
                let name = path.file_name().and_then(|name| name.to_str());
                name.map(ToOwned::to_owned).ok_or_else(|| WriteError::FileName {
                    name: path.display().to_string(),
                    reason: "it has no base name in UTF-8".to_owned(),
                })
            }
        }
    }

    pub(super) fn size_bytes(&self) -> Result<u64, WriteError> {
        match self {
            Self::Bytes { content, .. } => Ok(content.len() as u64),
            Self::Path(path) => Ok(fs::metadata(path).map_err(|source| input(path, source))?.len()),
        }
    }

    /// Opens it and computes its checksum.
    pub(super) fn hash(self) -> Result<Hashed, WriteError> {
        let name = self.name()?;
        match self {
            Self::Bytes { content, .. } => Ok(Hashed {
                name,
                checksum: Checksum::of(&content),
                size_bytes: content.len() as u64,
                modified_unix: None,
                mode: 0o644,
                content: Content::Bytes(content),
            }),
            Self::Path(path) => hash_file(name, path),
        }
    }
}

/// A payload file whose checksum is known.
pub(super) struct Hashed {
    pub(super) name: String,
    pub(super) checksum: Checksum,
    pub(super) size_bytes: u64,
    /// Seconds since 1970-01-01 UTC; `None` for files from memory.
    pub(super) modified_unix: Option<u64>,
    pub(super) mode: u32,
    content: Content,
}

enum Content {
    Bytes(Vec<u8>),
    File { path: PathBuf, file: File, metadata: Metadata },
}

impl Hashed {
    /// Gives the content to `sink` piece by piece, and makes sure that it is what was hashed.
    pub(super) fn copy(
        self,
        mut sink: impl FnMut(&[u8]) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        match self.content {
            Content::Bytes(content) => sink(&content),
            Content::File { path, mut file, metadata } => {
                file.rewind().map_err(|source| input(&path, source))?;
                let copied = read_pieces(&path, &mut file, &mut sink)?;
                let now = file.metadata().map_err(|source| input(&path, source))?;
                let same =
                    copied == self.size_bytes && now.modified().ok() == metadata.modified().ok();
                if same { Ok(()) } else { Err(WriteError::Changed { path }) }
            }
        }
    }
}

fn hash_file(name: String, path: PathBuf) -> Result<Hashed, WriteError> {
    let at = |source| input(&path, source);
    let mut file = File::open(&path).map_err(at)?;
    let metadata = file.metadata().map_err(at)?;
    if !metadata.is_file() {
        return Err(at(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")));
    }
    let mut hasher = Hasher::new();
    let size_bytes = read_pieces(&path, &mut file, &mut |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    let since_epoch = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(Hashed {
        name,
        checksum: hasher.finish(),
        size_bytes,
        modified_unix: since_epoch.map(|age| age.as_secs()),
        mode: mode(&metadata),
        content: Content::File { path, file, metadata },
    })
}

fn read_pieces(
    path: &Path,
    file: &mut File,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), WriteError>,
) -> Result<u64, WriteError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                total += n as u64;
                sink(&buffer[..n])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(input(path, source)),
        }
    }
}

fn input(path: &Path, source: io::Error) -> WriteError {
    WriteError::Input { path: path.to_owned(), source }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0o644
}
