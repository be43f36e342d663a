//! A strict, forward-only reader of tar archives that never holds more than a name in memory.
//!
//! The `tar` crate decodes the headers; walking them is done here, because its own iterator
//! borrows the archive (a reader of archives inside archives could not be returned from a
//! function), keeps long names of any length and forgives damage that a checksum would not see.

use std::{
    fmt::{self, Display},
    io::{self, Read},
};

use tar::{EntryType, Header, PaxExtensions};

use crate::Error;

/// Size of a tar block.
const BLOCK: usize = 512;
/// Largest extended header (a PAX record set or GNU long name) that is read.
const EXTENSION_MAX_BYTES: u64 = 16 << 10;
/// Most extended headers that may stand before one member.
const EXTENSIONS_MAX: usize = 4;

/// What an archive says about one of its members, always a plain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) modified_unix: u64,
    pub(crate) mode: u32,
}

/// The archive; as [`Read`], the content of the member that [`Archive::next`] gave last.
pub(crate) struct Archive<R> {
    source: R,
    /// What errors call it.
    label: String,
    /// Bytes of the present member still to come, and of the padding behind it.
    remaining: u64,
    padding: usize,
    at_end: bool,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(source: R, label: impl Into<String>) -> Self {
        Self { source, label: label.into(), remaining: 0, padding: 0, at_end: false }
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn source(&self) -> &R {
        &self.source
    }

    /// Bytes of the present member still to be read.
    pub(crate) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Goes to the next member, over whatever is left of the present one; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, Error> {
        let mut extensions = Extensions::default();
        for _ in 0..=EXTENSIONS_MAX {
            self.skip_rest()?;
            let Some(header) = self.read_header()? else {
                return if extensions.any {
                    Err(self.damaged("it ends after an extended header"))
                } else {
                    Ok(None)
                };
            };
            let size = header.entry_size().map_err(|error| self.damaged(error))?;
            match header.entry_type() {
                EntryType::XHeader => extensions.read_pax(&self.read_extension(size)?, self)?,
                EntryType::GNULongName => extensions.read_long_name(self.read_extension(size)?),
                EntryType::XGlobalHeader | EntryType::GNULongLink => {
                    self.read_extension(size)?;
                    extensions.any = true;
                }
                kind => return self.begin(&header, kind, size, extensions).map(Some),
            }
        }
        Err(self.damaged("too many extended headers before one member"))
    }

    /// Reads to the very end of the source, where only zeros may follow the archive.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 4096];
        loop {
            match self.source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) if buffer[..n].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return Err(Error::TrailingData { archive: self.label.clone() }),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from_read(error)),
            }
        }
    }

    /// The present member's whole content, which must not exceed `limit_bytes`.
    pub(crate) fn read_member(
        &mut self,
        member: &Member,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, Error> {
        if member.size_bytes > limit_bytes {
            return Err(Error::MemberTooLarge { member: member.name.clone(), limit_bytes });
        }
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(Error::from_read)?;
        Ok(content)
    }

    fn begin(
        &mut self,
        header: &Header,
        kind: EntryType,
        header_size: u64,
        extensions: Extensions,
    ) -> Result<Member, Error> {
        let raw = extensions.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let name = String::from_utf8(raw).map_err(|error| Error::ForbiddenName {
            name: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            reason: "not UTF-8",
        })?;
        if let Some(kind) = not_a_file(kind, &name) {
            return Err(Error::NotAFile { archive: self.label.clone(), name, kind });
        }
        let size_bytes = extensions.size.unwrap_or(header_size);
        self.remaining = size_bytes;
        self.padding = padding_after(size_bytes);
        Ok(Member {
            name,
            size_bytes,
            modified_unix: header.mtime().map_err(|error| self.damaged(error))?,
            mode: header.mode().map_err(|error| self.damaged(error))?,
        })
    }

    /// The next header; `None` at the two zero blocks that end an archive.
    fn read_header(&mut self) -> Result<Option<Header>, Error> {
        if self.at_end {
            return Ok(None);
        }
        let header = self.read_block()?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            if self.read_block()?.as_bytes().iter().any(|byte| *byte != 0) {
                return Err(self.damaged("a single zero block stands between members"));
            }
            self.at_end = true;
            return Ok(None);
        }
        let listed = header.cksum().map_err(|error| self.damaged(error))?;
        let bytes = header.as_bytes();
        // The checksum field itself, bytes 148 to 155, counts as blanks.
        let sum =
            |range: std::ops::Range<usize>| bytes[range].iter().map(|b| u32::from(*b)).sum::<u32>();
        if listed != sum(0..148) + sum(156..BLOCK) + 8 * u32::from(b' ') {
            return Err(self.damaged("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn read_block(&mut self) -> Result<Header, Error> {
        let mut header = Header::new_old();
        self.read_source(header.as_mut_bytes())?;
        Ok(header)
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > EXTENSION_MAX_BYTES {
            return Err(self.damaged("an extended header is larger than 16 KiB"));
        }
        self.remaining = size;
        self.padding = padding_after(size);
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(Error::from_read)?;
        Ok(content)
    }

    fn skip_rest(&mut self) -> Result<(), Error> {
        io::copy(self, &mut io::sink()).map_err(Error::from_read)?;
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..std::mem::take(&mut self.padding)];
        self.read_source(padding)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(self.damaged("the padding behind a member is not zero"));
        }
        Ok(())
    }

    fn read_source(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.source.read_exact(buffer).map_err(|error| self.name_source_error(error))
    }

    fn name_source_error(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.truncated(),
            Err(error) => Error::Io(error),
        }
    }

    fn truncated(&self) -> Error {
        Error::Truncated { place: self.label.clone() }
    }

    fn damaged(&self, reason: impl Display) -> Error {
        Error::Tar { archive: self.label.clone(), reason: reason.to_string() }
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.source.read(&mut buffer[..wanted])? {
            0 => Err(self.truncated().into()),
            n => {
                self.remaining -= n as u64;
                Ok(n)
            }
        }
    }
}

impl<R> fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Archive({})", self.label)
    }
}

/// What extended headers said about the member that follows them.
#[derive(Default)]
struct Extensions {
    any: bool,
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extensions {
    fn read_pax<R: Read>(&mut self, records: &[u8], archive: &Archive<R>) -> Result<(), Error> {
        self.any = true;
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|error| archive.damaged(error))?;
            match record.key_bytes() {
                b"path" => self.path = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|text| text.parse().ok());
                    let size = size.ok_or_else(|| archive.damaged("a PAX size is no number"))?;
                    self.size = Some(size);
                }
                key if key.starts_with(b"GNU.sparse") => {
                    return Err(archive.damaged("sparse members are not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_long_name(&mut self, mut name: Vec<u8>) {
        self.any = true;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            name.truncate(end);
        }
        self.path = Some(name);
    }
}

fn padding_after(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
    if over == 0 { 0 } else { BLOCK - over }
}

fn not_a_file(kind: EntryType, name: &str) -> Option<&'static str> {
    match kind {
        EntryType::Regular | EntryType::Continuous if name.ends_with('/') => Some("folder"),
        EntryType::Regular | EntryType::Continuous => None,
        EntryType::Link => Some("hard link"),
        EntryType::Symlink => Some("symbolic link"),
        EntryType::Char | EntryType::Block => Some("device"),
        EntryType::Directory => Some("folder"),
        EntryType::Fifo => Some("pipe"),
        EntryType::GNUSparse => Some("sparse file"),
        _ => Some("member of unknown type"),
    }
}
