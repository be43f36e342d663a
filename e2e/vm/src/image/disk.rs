//! The disk's layout, and its assembly: a partition table and GRUB before the first partition.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};

use super::boot::Boot;
use crate::block::SECTOR_BYTES;

const MIB: u64 = 1 << 20;

/// The boot partition, FAT; the first of four.
pub(crate) const BOOT: Range<u64> = MIB..17 * MIB;
/// The two root partitions, second and third.
pub(crate) const ROOT_A: Range<u64> = BOOT.end..BOOT.end + 30 * MIB;
pub(crate) const ROOT_B: Range<u64> = ROOT_A.end..ROOT_A.end + 30 * MIB;
/// The data partition, the fourth.
pub(crate) const DATA: Range<u64> = ROOT_B.end..ROOT_B.end + 24 * MIB;

const FAT: u8 = 0x0c;
const LINUX: u8 = 0x83;

/// Names the disk in `PARTUUID=`; any number other than 0 will do.
const DISK_ID: u32 = 0x524f_5441;

/// Where the partition table begins in the first sector, and the boot code ends.
const TABLE: usize = 446;
const CODE: usize = 440;

/// Puts a disk together; `root` is a system and where it goes.
pub(super) fn assemble(
    path: &Path,
    boot: &Boot,
    root: (&Path, Range<u64>),
    data: &Path,
) -> Result<()> {
    let disk = File::create(path)?;
    disk.set_len(DATA.end)?;
    let code = fs::read(&boot.first_sector)?;
    let code = code.get(..CODE).context("GRUB's first sector is too short")?;
    disk.write_all_at(&first_sector(code)?, 0)?;
    let core = fs::metadata(&boot.core)?.len();
    ensure!(core <= BOOT.start - SECTOR_BYTES, "GRUB's {core} bytes do not fit before {BOOT:?}");
    copy(&boot.core, &disk, SECTOR_BYTES..BOOT.start)?;
    copy(&boot.partition, &disk, BOOT)?;
    copy(root.0, &disk, root.1)?;
    copy(data, &disk, DATA)
}

/// The boot code, and a table of four partitions.
fn first_sector(code: &[u8]) -> Result<Vec<u8>> {
    let mut sector = vec![0; 512];
    sector[..CODE].copy_from_slice(code);
    sector[CODE..CODE + 4].copy_from_slice(&DISK_ID.to_le_bytes());
    let partitions = [(FAT, BOOT), (LINUX, ROOT_A), (LINUX, ROOT_B), (LINUX, DATA)];
    for (index, (kind, range)) in partitions.into_iter().enumerate() {
        let entry = &mut sector[TABLE + 16 * index..TABLE + 16 * (index + 1)];
        entry[4] = kind;
        let first = u32::try_from(range.start / SECTOR_BYTES)?;
        let count = u32::try_from((range.end - range.start) / SECTOR_BYTES)?;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

/// Copies a file to its place, leaving holes where it has only zeros.
fn copy(from: &Path, disk: &File, place: Range<u64>) -> Result<()> {
    let file = File::open(from)?;
    let length = file.metadata()?.len();
    ensure!(length <= place.end - place.start, "{} is too long for its place", from.display());
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    while done < length {
        let part = buffer.len().min(usize::try_from(length - done)?);
        let part = &mut buffer[..part];
        file.read_exact_at(part, done)?;
        write_unless_zero(disk, part, place.start + done)?;
        done += part.len() as u64;
    }
    Ok(())
}

fn write_unless_zero(disk: &File, part: &[u8], offset: u64) -> io::Result<()> {
    if part.iter().all(|byte| *byte == 0) { Ok(()) } else { disk.write_all_at(part, offset) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn everything_is_where_the_table_says() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, byte: u8| -> Result<PathBuf> {
            let path = folder.path().join(name);
            fs::write(&path, [byte; 1024])?;
            Ok(path)
        };
        let boot = Boot {
            first_sector: file("first", 1)?,
            core: file("core", 2)?,
            partition: file("boot", 3)?,
        };
        let disk = folder.path().join("disk");
        assemble(&disk, &boot, (&file("root", 4)?, ROOT_A), &file("data", 5)?)?;
        let disk = fs::read(disk)?;
        assert_eq!((disk[439], disk[512], &disk[510..512]), (1, 2, &[0x55, 0xaa][..]));
        for (index, byte) in [(0, 3), (1, 4), (2, 0), (3, 5)] {
            let entry = &disk[TABLE + 16 * index..][..16];
            let first = u32::from_le_bytes(entry[8..12].try_into()?);
            let at = usize::try_from(u64::from(first) * SECTOR_BYTES)?;
            assert_eq!((disk[at], disk[at + 1023], disk[at + 1024]), (byte, byte, 0), "{index}");
        }
        Ok(())
    }

    #[test]
    fn what_is_too_long_for_its_place_is_an_error() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let long = folder.path().join("long");
        File::create(&long)?.set_len(DATA.end)?;
        let disk = File::create(folder.path().join("disk"))?;
        assert!(copy(&long, &disk, ROOT_A).is_err());
        Ok(())
    }
}
