//! The payload: its files in a stream, each held against the manifest.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
};

use crate::{
    Checksum, Error, File, Limits, Manifest, PayloadType,
    archive::{Archive, Member},
    checksum::Hasher,
    decode::{Bounds, Decoded},
    manifest::DATA_PREFIX,
    name,
};

use super::{Seen, Source, compression_of, unexpected};

/// Which files are promised, and which have come.
#[derive(Debug)]
pub(super) struct Ledger {
    promised: BTreeMap<String, Checksum>,
    arrived: Vec<File>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Untouched,
    Opened,
    /// The payload's archive was read to its end and every promised file came.
    Complete,
}

impl Ledger {
    pub(super) fn new(
        manifest: &Manifest,
        payload_type: &PayloadType,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let promised: BTreeMap<_, _> =
            manifest.payload_files().map(|(name, sum)| (name.to_owned(), sum)).collect();
        let wrong = |reason: &str| Error::Header { document: "the payload", reason: reason.into() };
        if promised.len() > limits.files {
            return Err(Error::TooManyFiles { limit: limits.files });
        }
        if payload_type.is_rootfs_image() && promised.len() != 1 {
            return Err(wrong("a rootfs-image has exactly one file"));
        }
        if payload_type == &PayloadType::Empty && !promised.is_empty() {
            return Err(wrong("an empty payload has no files"));
        }
        Ok(Self { promised, arrived: Vec::new(), state: State::Untouched })
    }

    pub(super) fn is_opened(&self) -> bool {
        self.state != State::Untouched
    }

    /// All files, once the payload is complete.
    pub(super) fn into_files(self) -> Result<Vec<File>, Error> {
        if self.state == State::Complete { Ok(self.arrived) } else { Err(Error::Unfinished) }
    }

    /// Enters a file that begins to arrive.
    fn enter(&mut self, member: Member) -> Result<File, Error> {
        let Member { name, size_bytes, modified_unix, .. } = member;
        name::check_file(&name)?;
        if self.arrived.iter().any(|file| file.name == name) {
            return Err(Error::DuplicateName { name });
        }
        let Some(checksum) = self.promised.get(&name).copied() else {
            return Err(Error::NotListed { name: format!("{DATA_PREFIX}{name}") });
        };
        Ok(File { name, checksum, size_bytes, modified_unix })
    }

    fn complete(&mut self) -> Result<(), Error> {
        let came = |name: &String| self.arrived.iter().any(|file| file.name == *name);
        let names: Vec<_> = self.promised.keys().filter(|name| !came(name)).cloned().collect();
        if !names.is_empty() {
            return Err(Error::NeverArrived { names });
        }
        self.state = State::Complete;
        Ok(())
    }
}

/// The payload of an Artifact: a sequence of files, each to be read before the next.
#[derive(Debug)]
pub struct Payload<'a, R: Read> {
    /// `None` once it was read to its end, or when the Artifact has no payload member at all.
    stream: Option<Stream<'a, R>>,
    ledger: &'a mut Ledger,
}

type Outer<'a, R> = &'a mut Archive<Source<R>>;

impl<'a, R: Read + Send> Payload<'a, R> {
    pub(super) fn open(
        outer: Outer<'a, R>,
        ledger: &'a mut Ledger,
        limits: &Limits,
    ) -> Result<Self, Error> {
        if ledger.is_opened() {
            return Ok(Self { stream: None, ledger });
        }
        ledger.state = State::Opened;
        let Some(member) = outer.next()? else {
            // Mender's tools accept an Artifact without payload member if there are no files.
            ledger.complete()?;
            return Ok(Self { stream: None, ledger });
        };
        if !member.name.starts_with("data/0000.tar") {
            return Err(unexpected(&member.name, "data/0000.tar", Seen::Header));
        }
        let compression = compression_of(&member.name, "data/0000")?;
        let bounds = Bounds::of_payload(limits);
        let decoded = Decoded::new(outer, compression, &member.name, bounds)?;
        let stream =
            Stream { archive: Archive::new(decoded, member.name), current: None, failed: false };
        Ok(Self { stream: Some(stream), ledger })
    }

    /// The next file; what is left of the one before is read and checked first. After `None`
    /// every file has come and the payload's archive has ended as it should.
    ///
    /// After an error the payload cannot be read further.
    pub fn next_file(&mut self) -> Result<Option<PayloadFile<'_>>, Error> {
        let Some(mut stream) = self.stream.take() else {
            let complete = self.ledger.state == State::Complete;
            return if complete { Ok(None) } else { Err(Error::Unfinished) };
        };
        stream.drain()?;
        let Some(member) = stream.archive.next()? else {
            stream.close()?;
            self.ledger.complete()?;
            return Ok(None);
        };
        let file = self.ledger.enter(member)?;
        self.ledger.arrived.push(file.clone());
        stream.begin(&file)?;
        Ok(Some(PayloadFile { file, content: self.stream.insert(stream) }))
    }
}

/// The payload's archive and the sum of the file that it is at.
struct Stream<'a, R: Read> {
    archive: Archive<Decoded<Outer<'a, R>>>,
    current: Option<Current>,
    /// A read failed: whoever ignored that must not find the end of a file instead.
    failed: bool,
}

struct Current {
    name: String,
    expected: Checksum,
    hasher: Hasher,
}

impl<R: Read> Stream<'_, R> {
    fn begin(&mut self, file: &File) -> Result<(), Error> {
        let File { name, checksum, .. } = file.clone();
        self.current = Some(Current { name, expected: checksum, hasher: Hasher::new() });
        self.check_if_over()
    }

    /// Compares the sums once the last byte has been hashed.
    fn check_if_over(&mut self) -> Result<(), Error> {
        if self.archive.remaining() > 0 {
            return Ok(());
        }
        match self.current.take() {
            None => Ok(()),
            Some(Current { name, expected, hasher }) => match hasher.finish() {
                found if found == expected => Ok(()),
                found => Err(Error::ChecksumMismatch { name, expected, found }),
            },
        }
    }

    fn drain(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 16 << 10];
        while self.current.is_some() || self.failed {
            match self.read(&mut buffer) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(Error::from_read(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes sure that archive, compressed stream and outer member end together.
    fn close(mut self) -> Result<(), Error> {
        self.archive.finish()?;
        if self.archive.source().source().remaining() > 0 {
            return Err(Error::TrailingData { archive: self.archive.label().to_owned() });
        }
        Ok(())
    }
}

impl<R: Read> Stream<'_, R> {
    fn read_checked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(current) = &mut self.current else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.archive.read(buffer)?;
        current.hasher.update(&buffer[..n]);
        self.check_if_over()?;
        Ok(n)
    }
}

impl<R: Read> Read for Stream<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(Error::Unfinished.into());
        }
        let result = self.read_checked(buffer);
        self.failed =
            result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::Interrupted);
        result
    }
}

impl<R: Read> fmt::Debug for Stream<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.archive.label())
    }
}

/// One file of the payload; its content comes through [`Read`].
///
/// The last bytes are given out only if the whole file has the promised checksum; otherwise that
/// read fails, and [`Error::from_read`] tells why.
pub struct PayloadFile<'a> {
    file: File,
    content: &'a mut (dyn Read + Send + 'a),
}

impl PayloadFile<'_> {
    /// Base name: letters, digits and `.,_-`.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// Size in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.file.size_bytes
    }

    /// Name, size, promised checksum and time of modification.
    pub fn info(&self) -> &File {
        &self.file
    }
}

impl Read for PayloadFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

impl fmt::Debug for PayloadFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PayloadFile").field(&self.file).finish()
    }
}
