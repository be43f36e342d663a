//! UBI volumes: raw flash memory, where a whole volume is updated at once.
//!
//! The kernel is told the size, and from then on the volume is unusable until exactly so many bytes
//! were written. What is there cannot be compared, since the kernel reads a volume only when it is
//! whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{FlashError, Target};
use crate::host::Host;

/// What the kernel says about volumes.
const SYSFS: &str = "/sys/class/ubi";

/// A volume that is being updated.
pub(super) struct UbiVolume<D = File> {
    device: D,
    path: PathBuf,
    capacity_bytes: u64,
}

impl UbiVolume {
    /// Opens a volume; `None` if the device is something else.
    pub(super) fn open(host: &Host, path: &Path) -> Result<Option<Self>, FlashError> {
        let Some(capacity_bytes) = capacity_bytes(host, path)? else { return Ok(None) };
        let device = File::options().read(true).write(true).open(host.path(path));
        let device = device.map_err(|error| match error.kind() {
            // The kernel lets nobody write to a volume that is mounted.
            io::ErrorKind::ResourceBusy => FlashError::InUse { target: path.to_owned() },
            _ => FlashError::disk("open", path)(error),
        })?;
        Ok(Some(Self { device, path: path.to_owned(), capacity_bytes }))
    }
}

/// The volume's size; `None` if it is no volume.
fn capacity_bytes(host: &Host, path: &Path) -> Result<Option<u64>, FlashError> {
    let Some(name) = path.file_name() else { return Ok(None) };
    let volume = host.path(SYSFS).join(name);
    if !volume.is_dir() {
        return Ok(None);
    }
    let file = volume.join("data_bytes");
    let read = |file: &Path| fs::read_to_string(file)?.trim().parse().map_err(io::Error::other);
    read(&file).map(Some).map_err(FlashError::disk("read", file.clone()))
}

/// What an update needs of the device beyond writing.
pub(super) trait Volume: Write {
    fn begin_update(&mut self, size_bytes: i64) -> io::Result<()>;
}

impl Volume for File {
    fn begin_update(&mut self, size_bytes: i64) -> io::Result<()> {
        update_ioctl::begin(self, size_bytes)
    }
}

impl<D: Volume> Target for UbiVolume<D> {
    fn path(&self) -> &Path {
        &self.path
    }

    fn capacity_bytes(&self) -> Option<u64> {
        Some(self.capacity_bytes)
    }

    fn begin(&mut self, size_bytes: u64) -> io::Result<()> {
        self.device.begin_update(i64::try_from(size_bytes).map_err(io::Error::other)?)
    }

    fn read(&mut self, _offset: u64, _buffer: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }

    fn write(&mut self, _offset: u64, block: &[u8]) -> io::Result<()> {
        self.device.write_all(block)
    }

    /// Each write has reached the flash memory when it returns; the last one ends the update.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The one request to the kernel for which nobody has a safe function.
mod update_ioctl {
    #![expect(unsafe_code, reason = "UBI's request exists in no library as a safe function")]

    use std::{fs::File, io};

    use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

    /// `UBI_IOCVOLUP` of `mtd/ubi-user.h`: begin an update of so many bytes.
    pub(super) const UBI_IOCVOLUP: Opcode = opcode::write::<i64>(b'O', 0);

    pub(super) fn begin(volume: &File, size_bytes: i64) -> io::Result<()> {
        // SAFETY: this request reads one 64 bit number through the pointer that `Setter` passes, and
        // `size_bytes` is one, which lives until the call returns. On a device that knows another
        // request by this number the kernel refuses, since the number holds type and size.
        let done = unsafe { ioctl(volume, Setter::<{ UBI_IOCVOLUP }, i64>::new(size_bytes)) };
        Ok(done?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flash::{FlashError, write},
        wake::Wake,
    };

    /// Behaves as the kernel does: takes the announced bytes, no more.
    #[derive(Default)]
    struct Fake {
        announced: Option<i64>,
        bytes: Vec<u8>,
    }

    impl Write for Fake {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let announced = self.announced.ok_or(io::ErrorKind::PermissionDenied)?;
            let room = usize::try_from(announced).unwrap() - self.bytes.len();
            let taken = &bytes[..bytes.len().min(room)];
            self.bytes.extend_from_slice(taken);
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Volume for Fake {
        fn begin_update(&mut self, size_bytes: i64) -> io::Result<()> {
            self.announced = Some(size_bytes);
            Ok(())
        }
    }

    fn volume() -> UbiVolume<Fake> {
        let path = "/dev/ubi0_1".into();
        UbiVolume { device: Fake::default(), path, capacity_bytes: 3_000_000 }
    }

    #[test]
    fn a_volume_gets_its_size_and_then_every_byte() {
        let image: Vec<u8> = (0..2_500_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut volume = volume();
        let written =
            write(&mut &*image, image.len() as u64, &mut volume, &Wake::default()).unwrap();
        assert_eq!(written.written_bytes, 2_500_000);
        assert_eq!(volume.device.announced, Some(2_500_000));
        assert!(volume.device.bytes == image);
    }

    #[test]
    fn a_volume_that_is_too_small_is_left_alone() {
        let mut volume = volume();
        let outcome = write(&mut io::repeat(1), 3_000_001, &mut volume, &Wake::default());
        assert!(matches!(outcome, Err(FlashError::TooLarge { capacity_bytes: 3_000_000, .. })));
        assert_eq!(volume.device.announced, None);
    }

    #[test]
    fn volumes_are_known_by_what_the_kernel_says() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::within(folder.path());
        let path = Path::new("/dev/ubi0_1");
        assert_eq!(capacity_bytes(&host, path).unwrap(), None);
        fs::create_dir_all(host.path("/sys/class/ubi/ubi0_1")).unwrap();
        assert!(capacity_bytes(&host, path).is_err());
        fs::write(host.path("/sys/class/ubi/ubi0_1/data_bytes"), "258048\n").unwrap();
        assert_eq!(capacity_bytes(&host, path).unwrap(), Some(258_048));
    }

    #[test]
    fn the_request_has_the_kernels_number_and_other_devices_refuse_it() {
        // _IOW('O', 0, __s64) as C's macros compute it on x86 and ARM.
        assert_eq!(update_ioctl::UBI_IOCVOLUP, 0x4008_4f00);
        let other = File::options().write(true).open("/dev/null").unwrap();
        let error = update_ioctl::begin(&other, 1).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTTY.raw_os_error()));
    }
}
