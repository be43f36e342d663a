//! EFI variables of the boot loader interface, as the kernel's `efivarfs` shows them: four bytes of
//! attributes, then text in UTF-16 that ends with a zero.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

use rustix::{
    fs::{IFlags, ioctl_getflags, ioctl_setflags},
    io::Errno,
};

use super::super::BootError;
use crate::host::Host;

const FOLDER: &str = "/sys/firmware/efi/efivars";
/// The vendor of all variables of the interface.
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Kept over restarts, seen by the boot loader and by the running system.
const ATTRIBUTES: [u8; 4] = [0b111, 0, 0, 0];

/// The variables of this device.
#[derive(Debug)]
pub(super) struct EfiVariables {
    folder: PathBuf,
}

impl EfiVariables {
    pub(super) fn of(host: &Host) -> Self {
        Self { folder: host.path(FOLDER) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-{VENDOR}"))
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<String>, BootError> {
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BootError::file("read", &path)(error)),
        };
        let text = bytes.get(ATTRIBUTES.len()..).and_then(decode);
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-16");
        text.map(Some).ok_or_else(|| BootError::file("understand", &path)(malformed()))
    }

    /// The kernel passes one write to the firmware as a whole, which keeps the old value or the new.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<(), BootError> {
        let path = self.path(name);
        let text = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = ATTRIBUTES.into_iter().chain(text).collect();
        let write = || -> io::Result<()> {
            self.allow_changes(name)?;
            let mut file = File::options().write(true).create(true).truncate(false).open(&path)?;
            match file.write(&bytes)? {
                count if count == bytes.len() => Ok(()),
                _ => Err(io::ErrorKind::WriteZero.into()),
            }
        };
        write().map_err(BootError::file("write", &path))
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), BootError> {
        let path = self.path(name);
        let remove = || {
            self.allow_changes(name)?;
            fs::remove_file(&path)
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BootError::file("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// The kernel protects variables that it does not know, since some firmware does not start
    /// without its own.
    fn allow_changes(&self, name: &str) -> io::Result<()> {
        let file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        match ioctl_getflags(&file) {
            Ok(flags) if flags.contains(IFlags::IMMUTABLE) => {
                Ok(ioctl_setflags(&file, flags - IFlags::IMMUTABLE)?)
            }
            // Other file systems have no such flags, and protect nothing.
            Ok(_) | Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Text up to its zero, if it has one.
fn decode(bytes: &[u8]) -> Option<String> {
    let units =
        bytes.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
    let text = units.take_while(|unit| *unit != 0).collect::<Vec<u16>>();
    let is_whole = bytes.len().is_multiple_of(2);
    is_whole.then(|| String::from_utf16(&text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_attributes_and_end_with_zero() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        fs::create_dir_all(host.path(FOLDER)).unwrap();
        let variables = EfiVariables::of(&host);
        assert_eq!(variables.get("LoaderEntryDefault").unwrap(), None);
        variables.set("LoaderEntryDefault", "a.é").unwrap();
        let path = variables.path("LoaderEntryDefault");
        assert!(path.ends_with("LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"));
        let bytes = [7, 0, 0, 0, b'a', 0, b'.', 0, 0xe9, 0, 0, 0];
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert_eq!(variables.get("LoaderEntryDefault").unwrap().as_deref(), Some("a.é"));
        variables.remove("LoaderEntryDefault").unwrap();
        variables.remove("LoaderEntryDefault").unwrap();
        assert!(!path.exists());
        for damaged in [&[7, 0, 0][..], &[7, 0, 0, 0, b'a'], &[7, 0, 0, 0, 0, 0xd8]] {
            fs::write(&path, damaged).unwrap();
            assert!(variables.get("LoaderEntryDefault").is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn a_protected_variable_can_be_changed() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        fs::create_dir_all(host.path(FOLDER)).unwrap();
        let variables = EfiVariables::of(&host);
        variables.set("LoaderEntryOneShot", "rootfs-a.conf").unwrap();
        let protect = || {
            let file = File::open(variables.path("LoaderEntryOneShot")).unwrap();
            ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::IMMUTABLE))
        };
        // Takes root's rights and a file system with such flags; elsewhere it stays unprotected,
        // and must be changeable all the same.
        let _ = protect();
        variables.set("LoaderEntryOneShot", "rootfs-b.conf").unwrap();
        let _ = protect();
        variables.remove("LoaderEntryOneShot").unwrap();
        assert_eq!(variables.get("LoaderEntryOneShot").unwrap(), None);
    }
}
