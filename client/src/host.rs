//! The device's own file tree, as seen from its root: `/dev`, `/proc`, `/sys`, `/boot`. Tests put it
//! into a folder.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Where the root of the file tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::within("/")
    }
}

impl Host {
    /// A file tree whose `/` is this folder.
    pub fn within(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where an absolute path of the device is to be opened.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Follows all links; the answer is a path of the device again.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let found = self.path(path).canonicalize()?;
        let root = self.root.canonicalize()?;
        // A link that leads out of the tree stays what it is.
        let inside = found.strip_prefix(&root).map(|inside| Path::new("/").join(inside));
        Ok(inside.unwrap_or(found))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_followed_inside_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        fs::create_dir_all(host.path("/dev/disk/by-partuuid")).unwrap();
        fs::write(host.path("/dev/sda2"), "").unwrap();
        symlink("../../sda2", host.path("/dev/disk/by-partuuid/abc")).unwrap();
        let found = host.resolve(Path::new("/dev/disk/by-partuuid/abc")).unwrap();
        assert_eq!(found, Path::new("/dev/sda2"));
        assert!(host.resolve(Path::new("/dev/sda3")).is_err());
        assert_eq!(Host::default().path("/dev/sda2"), Path::new("/dev/sda2"));
    }
}
