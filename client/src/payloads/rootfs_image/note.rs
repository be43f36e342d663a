//! Which system was selected before the update. Mender's module reads and writes the same file, as
//! part of its script; what it does not know there does not disturb it.
//!
//! The system that reads the note need not be the one that wrote it, and may name its partitions
//! the other way round. So the note says what the boot loader knows the system by: the number of
//! its partition or, where the boot loader has entries instead, the letter.

use std::{fs, io, path::Path};

use super::PayloadError;
use crate::{
    boot::{PartitionNumbers, Slot},
    payloads::disk,
};

const NOTE: &str = "orig-part";
const NEW: &str = "orig-part.tmp";

/// Keeps the note in a folder, whatever happens to the power from now on.
pub(super) fn write(
    folder: &Path,
    numbers: Option<PartitionNumbers>,
    original: Slot,
) -> Result<(), PayloadError> {
    let text = match numbers.map(|numbers| numbers.number(original)) {
        Some(number) => format!("orig_part_num={number}\norig_part_num_hex={number:x}\n"),
        None => format!("orig_slot={original}\n"),
    };
    let new = folder.join(NEW);
    disk::remove(&new)?;
    let mut file = disk::create(&new, 0o600)?;
    file.write(text.as_bytes())?;
    file.sync()?;
    disk::rename(&new, &folder.join(NOTE))?;
    disk::sync_folder(folder)
}

/// Whether an installation was begun.
pub(super) fn exists(folder: &Path) -> bool {
    folder.join(NOTE).exists()
}

/// What the note says; `None` if there is none, since nothing was installed yet.
pub(super) fn read(
    folder: &Path,
    numbers: Option<PartitionNumbers>,
) -> Result<Option<Slot>, PayloadError> {
    let path = folder.join(NOTE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PayloadError::disk("read", &path)(error)),
    };
    let value = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let slot = match numbers {
        Some(numbers) => value("orig_part_num")
            .and_then(|number| number.parse().ok())
            .and_then(|number| numbers.slot(number)),
        None => match value("orig_slot") {
            Some("A") => Some(Slot::A),
            Some("B") => Some(Slot::B),
            _ => None,
        },
    };
    let unknown = || io::Error::other("it names neither RootfsPartA nor RootfsPartB");
    slot.map(Some).ok_or_else(|| PayloadError::disk("use", &path)(unknown()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_both_clients_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let numbers = |parts: [&str; 2]| PartitionNumbers::of(parts.map(Path::new)).unwrap();
        let counting = Some(numbers(["/dev/mmcblk0p2", "/dev/mmcblk0p11"]));
        let turned = Some(numbers(["/dev/mmcblk0p11", "/dev/mmcblk0p2"]));
        assert_eq!(read(folder, counting).unwrap(), None);
        assert!(!exists(folder));
        write(folder, counting, Slot::B).unwrap();
        assert!(exists(folder));
        let text = fs::read_to_string(folder.join(NOTE)).unwrap();
        assert_eq!(text, "orig_part_num=11\norig_part_num_hex=b\n");
        assert_eq!(read(folder, counting).unwrap(), Some(Slot::B));
        assert_eq!(read(folder, turned).unwrap(), Some(Slot::A));
        write(folder, None, Slot::B).unwrap();
        assert_eq!(read(folder, None).unwrap(), Some(Slot::B));
        for damaged in ["", "orig_part_num=7\n", "orig_part_num=\n", "orig_slot=C\n"] {
            fs::write(folder.join(NOTE), damaged).unwrap();
            for numbers in [counting, None] {
                assert!(read(folder, numbers).is_err(), "{damaged:?}, {numbers:?}");
            }
        }
    }
}
