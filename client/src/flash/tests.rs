//! Images written to files and to a device that fails on demand.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::*;
use crate::host::Host;

const MIB: usize = 1 << 20;

/// A device in memory that keeps count.
struct Device {
    bytes: Vec<u8>,
    written: Vec<u64>,
    syncs: usize,
    /// Blocks that cannot be read until they are written.
    unreadable: Vec<u64>,
    /// Fails the sync of this number, as a device does that lost a write.
    broken_sync: Option<usize>,
    most_unsynced: u64,
    unsynced: u64,
}

impl Device {
    fn new(bytes: Vec<u8>) -> Self {
        let (written, unreadable, broken_sync) = (Vec::new(), Vec::new(), None);
        Self { bytes, written, syncs: 0, unreadable, broken_sync, most_unsynced: 0, unsynced: 0 }
    }
}

impl Target for Device {
    fn path(&self) -> &Path {
        Path::new("/dev/test")
    }

    fn capacity_bytes(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
        if self.unreadable.contains(&offset) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        let begin = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(&self.bytes[begin..begin + buffer.len()]);
        Ok(true)
    }

    fn write(&mut self, offset: u64, block: &[u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).unwrap();
        self.bytes[begin..begin + block.len()].copy_from_slice(block);
        self.unreadable.retain(|unreadable| *unreadable != offset);
        self.written.push(offset);
        self.unsynced += block.len() as u64;
        self.most_unsynced = self.most_unsynced.max(self.unsynced);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        self.unsynced = 0;
        match self.broken_sync {
            Some(number) if number == self.syncs => Err(io::Error::other("bad block")),
            _ => Ok(()),
        }
    }
}

fn flash(image: &[u8], size_bytes: u64, target: &mut dyn Target) -> Result<Written, FlashError> {
    write(&mut &*image, size_bytes, target, &Wake::default())
}

#[test]
fn only_changed_blocks_are_written() {
    let mut image = vec![7; 4 * MIB + 100];
    let mut device = Device::new(vec![7; 6 * MIB]);
    image[MIB + 5] = 8;
    image[4 * MIB + 99] = 8;
    let written = flash(&image, image.len() as u64, &mut device).unwrap();
    assert_eq!(device.written, [MIB as u64, 4 * MIB as u64]);
    assert_eq!((written.written_bytes, written.skipped_bytes), (MIB as u64 + 100, 3 * MIB as u64));
    assert!(
        device.bytes[..image.len()] == image && device.bytes[image.len()..].iter().all(|b| *b == 7)
    );
    assert_eq!(device.unsynced, 0);
}

/// As a power cut leaves them; they must not end all updates of a device.
#[test]
fn blocks_that_cannot_be_read_are_written() {
    let image = vec![7; 3 * MIB + 100];
    let mut device = Device::new(vec![7; 4 * MIB]);
    device.unreadable = vec![MIB as u64, 2 * MIB as u64];
    let written = flash(&image, image.len() as u64, &mut device).unwrap();
    assert_eq!(device.written, [MIB as u64, 2 * MIB as u64]);
    assert_eq!((written.written_bytes, written.skipped_bytes), (2 * MIB as u64, MIB as u64 + 100));
    let text = written.to_string();
    assert!(text.contains("2, the first 1048576 bytes from the start (Input/output"), "{text}");
    let again = flash(&image, image.len() as u64, &mut device).unwrap();
    assert_eq!((again.unreadable, again.written_bytes), (None, 0));
}

#[test]
fn what_waits_in_memory_is_bounded() {
    let image = vec![1; 40 * MIB];
    let mut device = Device::new(vec![0; 40 * MIB]);
    flash(&image, image.len() as u64, &mut device).unwrap();
    assert_eq!(device.most_unsynced, SYNC_EVERY_BYTES);
    assert_eq!(device.unsynced, 0);
}

#[test]
fn a_write_that_the_device_lost_is_an_error() {
    for number in 1..=3 {
        let mut device = Device::new(vec![0; 40 * MIB]);
        device.broken_sync = Some(number);
        let outcome = flash(&vec![1; 40 * MIB], 40 * MIB as u64, &mut device);
        assert!(matches!(outcome, Err(FlashError::Disk { doing: "sync", .. })), "{outcome:?}");
    }
}

#[test]
fn images_that_cannot_be_right_are_refused() {
    let mut device = Device::new(vec![0; 2 * MIB]);
    let empty = flash(&[], 0, &mut device);
    assert!(matches!(empty, Err(FlashError::Empty)), "{empty:?}");
    let large = flash(&vec![1; 3 * MIB], 3 * MIB as u64, &mut device);
    assert!(matches!(large, Err(FlashError::TooLarge { .. })), "{large:?}");
    assert!(device.written.is_empty(), "nothing is written before the size is checked");
    let short = flash(&[1; 10], 11, &mut device);
    assert!(matches!(short, Err(FlashError::Short { found_bytes: 10, .. })), "{short:?}");
    let long = flash(&[1; 12], 11, &mut device);
    assert!(matches!(long, Err(FlashError::Long { .. })), "{long:?}");
    let wake = Wake::default();
    wake.stop();
    let stopped = write(&mut &[1; 11][..], 11, &mut device, &wake);
    assert!(matches!(stopped, Err(FlashError::Stopped(_))), "{stopped:?}");
}

/// A file tree with nothing mounted.
fn host(folder: &Path) -> Host {
    let host = Host::within(folder);
    fs::create_dir_all(host.path("/proc/self")).unwrap();
    fs::create_dir_all(host.path("/dev")).unwrap();
    fs::write(host.path("/proc/self/mountinfo"), "").unwrap();
    host
}

#[test]
fn a_file_is_as_large_as_it_is_unless_it_may_be_created() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let path = PathBuf::from("/dev/part");
    let missing = open(&host, &path, MissingFile::Refuse);
    assert!(matches!(missing, Err(FlashError::Disk { doing: "find", .. })));
    assert!(!host.path(&path).exists());

    let mut created = open(&host, &path, MissingFile::Create).unwrap();
    assert_eq!(flash(&[1; 50], 50, &mut *created).unwrap().written_bytes, 50);
    let mut again = open(&host, &path, MissingFile::Create).unwrap();
    assert_eq!(flash(&[1; 60], 60, &mut *again).unwrap().written_bytes, 60);
    let mut part = open(&host, &path, MissingFile::Refuse).unwrap();
    assert_eq!(part.capacity_bytes(), Some(60));
    assert_eq!(flash(&[1; 60], 60, &mut *part).unwrap().skipped_bytes, 60);
    assert_eq!(fs::read(host.path(&path)).unwrap(), [1; 60]);
}

#[test]
fn other_things_are_no_targets() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    for path in ["/dev", "/dev/null"] {
        let host = if path == "/dev/null" { Host::default() } else { host.clone() };
        let outcome = open(&host, Path::new(path), MissingFile::Create);
        assert!(matches!(outcome, Err(FlashError::WrongKind { .. })), "{path}");
    }
}
