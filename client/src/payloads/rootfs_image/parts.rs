//! The two partitions, as configured.

use std::path::{Path, PathBuf};

use crate::{
    boot::{BootLoaderKind, Slot},
    host::Host,
};

/// What the configuration says about root file systems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootfsSettings {
    pub part_a: Option<PathBuf>,
    pub part_b: Option<PathBuf>,
    /// Found out if not set.
    pub boot_loader: Option<BootLoaderKind>,
    pub host: Host,
}

/// The configuration does not name two partitions.
#[derive(Debug, thiserror::Error)]
pub enum PartsError {
    #[error("{key} is not set in mender.conf; it names one of the two root partitions")]
    NotSet { key: &'static str },
    #[error("RootfsPartA and RootfsPartB are the same, {path}")]
    Same { path: PathBuf },
}

impl RootfsSettings {
    /// The devices of both partitions.
    pub fn parts(&self) -> Result<Parts, PartsError> {
        let part = |key, path: &Option<PathBuf>| {
            let path = path.as_ref().ok_or(PartsError::NotSet { key })?;
            Ok(device(&self.host, path))
        };
        let a = part("RootfsPartA", &self.part_a)?;
        let b = part("RootfsPartB", &self.part_b)?;
        if a == b { Err(PartsError::Same { path: a }) } else { Ok(Parts { a, b }) }
    }
}

/// The devices of both partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    a: PathBuf,
    b: PathBuf,
}

impl Parts {
    pub fn path(&self, slot: Slot) -> &Path {
        match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        }
    }

    pub fn paths(&self) -> [&Path; 2] {
        [&self.a, &self.b]
    }
}

/// The device behind a configured name. Mender follows these links and no others: a number at the
/// end of any other name is taken for the partition's, whatever it leads to.
fn device(host: &Host, path: &Path) -> PathBuf {
    let is_link = path == Path::new("/dev/root")
        || ["/dev/disk/by-partlabel", "/dev/disk/by-partuuid"]
            .into_iter()
            .any(|folder| path.starts_with(folder));
    if is_link {
        return host.resolve(path).unwrap_or_else(|_| path.to_owned());
    }
    ubi_device(path).unwrap_or_else(|| path.to_owned())
}

/// The kernel says `ubi0_1` where programs say `/dev/ubi0_1`.
pub(super) fn ubi_device(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?;
    name.starts_with("ubi").then(|| Path::new("/dev").join(name))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    fn parts(host: &Host, a: &str, b: &str) -> Result<Parts, PartsError> {
        let settings = RootfsSettings {
            part_a: Some(a.into()),
            part_b: Some(b.into()),
            boot_loader: None,
            host: host.clone(),
        };
        settings.parts()
    }

    #[test]
    fn links_that_mender_follows_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        fs::create_dir_all(host.path("/dev/disk/by-partuuid")).unwrap();
        fs::create_dir_all(host.path("/dev/disk/by-label")).unwrap();
        fs::write(host.path("/dev/sda3"), "").unwrap();
        for link in ["by-partuuid/aa-01", "by-label/root3"] {
            symlink("../../sda3", host.path("/dev/disk").join(link)).unwrap();
        }
        symlink("sda3", host.path("/dev/root")).unwrap();
        let path_of = |name: &str| {
            let parts = parts(&host, name, "/dev/sda9").unwrap();
            parts.path(Slot::A).display().to_string()
        };
        assert_eq!(path_of("/dev/disk/by-partuuid/aa-01"), "/dev/sda3");
        assert_eq!(path_of("/dev/root"), "/dev/sda3");
        assert_eq!(path_of("/dev/disk/by-label/root3"), "/dev/disk/by-label/root3");
        assert_eq!(path_of("ubi0_1"), "/dev/ubi0_1");
        assert_eq!(path_of("/dev/disk/by-partlabel/gone"), "/dev/disk/by-partlabel/gone");
    }

    #[test]
    fn both_must_be_there_and_differ() {
        let host = Host::default();
        let error = RootfsSettings::default().parts().unwrap_err();
        assert!(error.to_string().starts_with("RootfsPartA is not set"));
        assert!(matches!(parts(&host, "ubi0_1", "/dev/ubi0_1"), Err(PartsError::Same { .. })));
    }
}
