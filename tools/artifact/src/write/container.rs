//! The outer archive, written front to back; only the payload's size is filled in afterwards.

use std::io::{self, Seek, SeekFrom, Write};

use tar::Header;

use crate::{
    Checksum, Compression,
    manifest::{DATA_PREFIX, VERSION},
    signature,
};

use super::{Builder, Progress, WriteError, Written, encode::Encoder, source::Hashed};

const VERSION_DOCUMENT: &[u8] = br#"{"format":"mender","version":3}"#;
const BLOCK: u64 = 512;
const END_OF_ARCHIVE: [u8; 1024] = [0; 1024];

/// Writes the Artifact that a checked `builder` describes.
pub(super) fn write(
    mut builder: Builder,
    output: impl Write + Seek,
) -> Result<Written, WriteError> {
    let inputs = std::mem::take(&mut builder.files);
    let files = inputs.into_iter().map(super::Input::hash).collect::<Result<Vec<_>, _>>()?;

    let suffix = builder.compression.suffix();
    let header = builder.header_archive(files.first().map(|file| file.checksum))?;
    let header = compress(&header, builder.compression, builder.level)?;
    let header_name = format!("header.tar{suffix}");
    let manifest = manifest(&files, &header_name, &header);

    let modified_unix = builder.modified_unix.unwrap_or(0);
    let dated = |name: String| Entry { modified_unix, ..Entry::document(name) };
    let mut archive = TarWriter::new(output);
    archive.append(&Entry::document(VERSION), VERSION_DOCUMENT)?;
    archive.append(&Entry::document("manifest"), manifest.as_bytes())?;
    if let Some(key) = &builder.key {
        let signature = key.sign(manifest.as_bytes()).ok_or(WriteError::Signing)?;
        let text = signature::encode(&signature);
        archive.append(&Entry::document("manifest.sig"), text.as_bytes())?;
    }
    archive.append(&dated(header_name), &header)?;
    archive.append_payload(&dated(format!("data/0000.tar{suffix}")), builder, files)
}

/// Payload files in the order given, then header and version, as mender-artifact lists them.
fn manifest(files: &[Hashed], header_name: &str, header: &[u8]) -> String {
    let files = files.iter().map(|file| (format!("{DATA_PREFIX}{}", file.name), file.checksum));
    let rest = [
        (header_name.to_owned(), Checksum::of(header)),
        (VERSION.to_owned(), Checksum::of(VERSION_DOCUMENT)),
    ];
    let lines = files.chain(rest).map(|(name, checksum)| format!("{checksum}  {name}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn compress(
    bytes: &[u8],
    compression: Compression,
    level: Option<u32>,
) -> Result<Vec<u8>, WriteError> {
    let mut encoder =
        Encoder::new(Vec::new(), compression, level, 1).map_err(WriteError::Output)?;
    encoder.write_all(bytes).map_err(WriteError::Output)?;
    encoder.finish().map_err(WriteError::Output)
}

/// What a tar header says about a member.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) mode: u32,
    pub(super) modified_unix: u64,
}

impl Entry {
    /// A document of the format itself: mode 0600, time 0, as mender-artifact writes them.
    pub(super) fn document(name: impl Into<String>) -> Self {
        Self { name: name.into(), mode: 0o600, modified_unix: 0 }
    }

    fn header(&self, size_bytes: u64) -> io::Result<Header> {
        let mut header = Header::new_ustar();
        header.set_path(&self.name)?;
        header.set_mode(self.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.modified_unix);
        header.set_size(size_bytes);
        header.set_cksum();
        Ok(header)
    }
}

/// Writes a tar archive in ustar form with the two zero blocks at its end and no more padding.
pub(super) struct TarWriter<W> {
    output: W,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output }
    }

    pub(super) fn append(&mut self, entry: &Entry, content: &[u8]) -> Result<(), WriteError> {
        self.begin(entry, content.len() as u64)?;
        self.put(content)?;
        self.pad(content.len() as u64)
    }

    /// Ends the archive and gives the output back.
    pub(super) fn finish(mut self) -> Result<W, WriteError> {
        self.put(&END_OF_ARCHIVE)?;
        Ok(self.output)
    }

    pub(super) fn begin(&mut self, entry: &Entry, size_bytes: u64) -> Result<(), WriteError> {
        let header = entry.header(size_bytes).map_err(WriteError::Output)?;
        self.put(header.as_bytes())
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.output.write_all(bytes).map_err(WriteError::Output)
    }

    /// Fills up the last block of a member of `size_bytes`.
    pub(super) fn pad(&mut self, size_bytes: u64) -> Result<(), WriteError> {
        let padding = size_bytes.next_multiple_of(BLOCK) - size_bytes;
        self.put(&END_OF_ARCHIVE[..usize::try_from(padding).expect("less than a block")])
    }
}

impl<W: Write + Seek> TarWriter<W> {
    /// Appends the payload's archive as the last member. Its size is known only once it is
    /// compressed, so its header is written twice.
    fn append_payload(
        mut self,
        entry: &Entry,
        mut builder: Builder,
        files: Vec<Hashed>,
    ) -> Result<Written, WriteError> {
        let header_at = self.output.stream_position().map_err(WriteError::Output)?;
        self.begin(entry, 0)?;

        let Builder { compression, level, threads, modified_unix, .. } = builder;
        let encoder = Encoder::new(&mut self.output, compression, level, threads);
        let mut payload = TarWriter::new(encoder.map_err(WriteError::Output)?);
        for file in files {
            payload.append_file(file, modified_unix, &mut builder.progress)?;
        }
        payload.finish()?.finish().map_err(WriteError::Output)?;

        let end = self.output.stream_position().map_err(WriteError::Output)?;
        let size_bytes = end - header_at - BLOCK;
        self.pad(size_bytes)?;
        let mut output = self.finish()?;
        let size = rewrite_header(&mut output, header_at, entry, size_bytes);
        let size_bytes = size.map_err(WriteError::Output)?;
        Ok(Written { size_bytes, signed: builder.key.map(|key| key.algorithm()) })
    }
}

impl<W: Write> TarWriter<W> {
    fn append_file(
        &mut self,
        file: Hashed,
        modified_unix: Option<u64>,
        progress: &mut Progress,
    ) -> Result<(), WriteError> {
        let size_bytes = file.size_bytes;
        let entry = Entry {
            name: file.name.clone(),
            mode: file.mode,
            modified_unix: modified_unix.or(file.modified_unix).unwrap_or(0),
        };
        self.begin(&entry, size_bytes)?;
        file.copy(|piece| {
            self.put(piece)?;
            progress(piece.len() as u64);
            Ok(())
        })?;
        self.pad(size_bytes)
    }
}

/// Corrects the payload's header, goes back to the end and gives the Artifact's size.
fn rewrite_header(
    output: &mut (impl Write + Seek),
    header_at: u64,
    entry: &Entry,
    size_bytes: u64,
) -> io::Result<u64> {
    let end = output.stream_position()?;
    output.seek(SeekFrom::Start(header_at))?;
    output.write_all(entry.header(size_bytes)?.as_bytes())?;
    output.seek(SeekFrom::Start(end))?;
    output.flush()?;
    Ok(end)
}
