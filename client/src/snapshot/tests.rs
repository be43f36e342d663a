//! Everything but the two calls to the kernel, which freeze real file systems.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Instant,
};

use flate2::read::GzDecoder;

use super::*;

const LONG: Duration = Duration::from_mins(1);

/// Counts: 1 after the freeze, 0 after exactly one thaw.
#[derive(Clone, Default)]
struct Count(Arc<AtomicI32>, bool);

impl Count {
    fn now(&self) -> i32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Freezer for Count {
    fn path(&self) -> PathBuf {
        "/frozen".into()
    }

    fn freeze(&mut self) -> io::Result<()> {
        if self.1 {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn thaw(&mut self) -> io::Result<()> {
        self.0.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

fn image() -> (tempfile::NamedTempFile, Vec<u8>) {
    let content: Vec<u8> = (0_u8..=255).cycle().take(3 * CHUNK_BYTES + 17).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    (file, content)
}

fn copy(
    output: &mut dyn Write,
    compression: Compression,
    freezer: &Count,
    limit: Duration,
    wake: &Wake,
) -> Result<u64, SnapshotError> {
    let (file, _) = image();
    let mut device = File::open(file.path()).unwrap();
    let freezer: Box<dyn Freezer> = Box::new(freezer.clone());
    let to = (output, compression);
    dump(&mut device, Path::new("/dev/x"), Some(freezer), to, limit, wake, &mut |_| {})
}

/// Looks at each write whether the file system is frozen.
struct Frozenness<'a>(&'a Count, Vec<u8>);

impl Write for Frozenness<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert_eq!(self.0.now(), 1, "a byte that may have changed since");
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn all_bytes_are_copied_while_frozen() {
    let content = image().1;
    for compression in [Compression::None, Compression::Gzip] {
        let count = Count::default();
        let mut output = Frozenness(&count, Vec::new());
        let total = copy(&mut output, compression, &count, LONG, &Wake::default()).unwrap();
        let mut copied = Vec::new();
        match compression {
            Compression::None => copied.clone_from(&output.1),
            Compression::Gzip => {
                GzDecoder::new(&*output.1).read_to_end(&mut copied).unwrap();
            }
        }
        assert!(copied == content && total == content.len() as u64, "{compression:?}");
        assert_eq!(count.now(), 0, "thawed once");
    }
}

#[test]
fn a_reader_that_goes_away_thaws() {
    let count = Count::default();
    let (mut output, reader) = UnixStream::pair().unwrap();
    drop(reader);
    let failed = copy(&mut output, Compression::None, &count, LONG, &Wake::default());
    assert!(matches!(failed, Err(SnapshotError::Write(_))), "{failed:?}");
    assert_eq!(count.now(), 0);
}

/// The copy hangs in a write; the thaw does not wait for it.
#[test]
fn a_reader_that_stands_still_thaws_while_the_copy_hangs() {
    for stops in [false, true] {
        let (count, wake) = (Count::default(), Wake::default());
        let (mut output, reader) = UnixStream::pair().unwrap();
        let limit = if stops { LONG } else { Duration::from_millis(300) };
        let copying = thread::spawn({
            let (count, wake) = (count.clone(), wake.clone());
            move || copy(&mut output, Compression::None, &count, limit, &wake)
        });
        let began = Instant::now();
        while count.now() == 0 && began.elapsed() < LONG {
            thread::yield_now();
        }
        if stops {
            wake.stop();
        }
        while count.now() == 1 {
            assert!(began.elapsed() < LONG / 2, "it stays frozen");
            thread::yield_now();
        }
        drop(reader);
        let failed = copying.join().unwrap();
        let expected = match &failed {
            Err(SnapshotError::StoodStill { .. }) => !stops,
            Err(SnapshotError::Stopped(_)) => stops,
            _ => false,
        };
        assert!(expected, "{failed:?}");
        assert_eq!(count.now(), 0, "thawed once");
    }
}

#[test]
fn nothing_is_written_if_it_cannot_be_frozen() {
    let cannot = Count(Arc::default(), true);
    let mut output = Vec::new();
    let failed = copy(&mut output, Compression::None, &cannot, LONG, &Wake::default());
    assert!(matches!(failed, Err(SnapshotError::Freeze { .. })), "{failed:?}");
    assert!(output.is_empty());
}

#[test]
fn outputs_that_would_hang_are_refused() {
    let file = tempfile::tempfile().unwrap();
    let (pipe, _reader) = UnixStream::pair().unwrap();
    let place = Place {
        device: "/dev/x".into(),
        device_number: fstat(&file).unwrap().st_dev,
        mount_point: Some("/".into()),
    };
    let check = |place: &Place, output: BorrowedFd<'_>, others: &[_]| {
        check_output(place, output, others).err().map(|error| error.to_string())
    };
    let refused = check(&place, file.as_fd(), &[]).unwrap();
    assert!(refused.starts_with("the output is on the file system"), "{refused}");
    assert_eq!(check(&place, pipe.as_fd(), &[]), None);
    let refused = check(&place, pipe.as_fd(), &[("the log", file.as_fd())]).unwrap();
    assert!(refused.starts_with("the log is on the file system"), "{refused}");
    // What is not mounted is not frozen.
    let unmounted = Place { mount_point: None, ..place };
    assert_eq!(check(&unmounted, file.as_fd(), &[]), None);
}
