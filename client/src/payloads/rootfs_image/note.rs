//! Which system was selected before the update. Mender's module reads and writes the same file, as
//! part of its script; what it does not know there does not disturb it.

use std::{fs, io, path::Path};

use super::{Parts, PayloadError};
use crate::{
    boot::{PartitionNumbers, Slot},
    payloads::disk,
};

const NOTE: &str = "orig-part";
const NEW: &str = "orig-part.tmp";

/// Keeps the note in a folder, whatever happens to the power from now on.
pub(super) fn write(folder: &Path, parts: &Parts, original: Slot) -> Result<(), PayloadError> {
    let mut text = format!("orig_slot={original}\n");
    if let Ok(numbers) = PartitionNumbers::of(parts.paths()) {
        let number = numbers.number(original);
        let lines = format!("orig_part_num={number}\norig_part_num_hex={number:x}\n");
        text.push_str(&lines);
    }
    let new = folder.join(NEW);
    disk::remove(&new)?;
    let mut file = disk::create(&new, 0o600)?;
    file.write(text.as_bytes())?;
    file.sync()?;
    disk::rename(&new, &folder.join(NOTE))?;
    disk::sync_folder(folder)
}

/// What the note says; `None` if there is none, since nothing was installed yet.
pub(super) fn read(folder: &Path, parts: &Parts) -> Result<Option<Slot>, PayloadError> {
    let path = folder.join(NOTE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PayloadError::disk("read", &path)(error)),
    };
    let value = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let slot = match value("orig_slot") {
        Some("A") => Some(Slot::A),
        Some("B") => Some(Slot::B),
        _ => value("orig_part_num")
            .and_then(|number| number.parse().ok())
            .and_then(|number| PartitionNumbers::of(parts.paths()).ok()?.slot(number)),
    };
    let unknown = || io::Error::other("it names neither RootfsPartA nor RootfsPartB");
    slot.map(Some).ok_or_else(|| PayloadError::disk("use", &path)(unknown()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payloads::rootfs_image::RootfsSettings;

    #[test]
    fn notes_of_both_clients_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let settings = RootfsSettings {
            part_a: Some("/dev/mmcblk0p2".into()),
            part_b: Some("/dev/mmcblk0p11".into()),
            ..RootfsSettings::default()
        };
        let parts = settings.parts().unwrap();
        assert_eq!(read(folder, &parts).unwrap(), None);
        write(folder, &parts, Slot::B).unwrap();
        let text = fs::read_to_string(folder.join(NOTE)).unwrap();
        assert_eq!(text, "orig_slot=B\norig_part_num=11\norig_part_num_hex=b\n");
        assert_eq!(read(folder, &parts).unwrap(), Some(Slot::B));
        fs::write(folder.join(NOTE), "orig_part_num=2\norig_part_num_hex=2\n").unwrap();
        assert_eq!(read(folder, &parts).unwrap(), Some(Slot::A));
        for damaged in ["", "orig_part_num=7\n", "orig_part_num=\n"] {
            fs::write(folder.join(NOTE), damaged).unwrap();
            assert!(read(folder, &parts).is_err(), "{damaged:?}");
        }
    }
}
