//! Decompression under limits: what comes out is counted against what went in.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::{Compression, Error, Limits};

/// An archive's bytes after decompression.
///
/// Errors are [`Error`]s wrapped for [`Read`]: damage is named after the archive, and the limits
/// on size, ratio and memory hold.
pub(crate) struct Decoded<R: Read> {
    stream: Stream<Counted<R>>,
    label: String,
    unpacked: u64,
    bounds: Bounds,
}

/// The limits that matter for one archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    unpacked_bytes: u64,
    ratio: u64,
    ratio_free_bytes: u64,
    decoder_bytes: u64,
    /// What to say when the archive is too large.
    too_large: fn(u64) -> Error,
}

impl Bounds {
    pub(crate) fn of_header(limits: &Limits) -> Self {
        Self {
            unpacked_bytes: limits.header_bytes,
            ratio: limits.ratio,
            ratio_free_bytes: limits.ratio_free_bytes,
            decoder_bytes: limits.decoder_bytes,
            too_large: |limit_bytes| Error::HeaderTooLarge { limit_bytes },
        }
    }

    pub(crate) fn of_payload(limits: &Limits) -> Self {
        Self {
            unpacked_bytes: limits.payload_bytes,
            too_large: |limit_bytes| Error::PayloadTooLarge { limit_bytes },
            ..Self::of_header(limits)
        }
    }
}

enum Stream<R: Read> {
    None(R),
    Gzip(Box<MultiGzDecoder<R>>),
    #[cfg(feature = "xz")]
    Xz(Box<lzma_rust2::XzReader<R>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<zstd::stream::read::Decoder<'static, io::BufReader<R>>>),
}

impl<R: Read> Decoded<R> {
    /// Decodes `source`, which errors call `label`.
    pub(crate) fn new(
        source: R,
        compression: Compression,
        label: &str,
        bounds: Bounds,
    ) -> Result<Self, Error> {
        let source = Counted { source, count: 0 };
        let stream = match compression {
            Compression::None => Stream::None(source),
            Compression::Gzip => Stream::Gzip(Box::new(MultiGzDecoder::new(source))),
            #[cfg(feature = "xz")]
            Compression::Xz => Stream::xz(source, bounds.decoder_bytes),
            #[cfg(feature = "zstd")]
            Compression::Zstd => Stream::zstd(source, bounds.decoder_bytes)?,
            #[cfg(not(all(feature = "xz", feature = "zstd")))]
            _ => return Err(Error::UnsupportedCompression { member: label.to_owned() }),
        };
        Ok(Self { stream, label: label.to_owned(), unpacked: 0, bounds })
    }

    /// What is being decoded; its position includes what the decoder has read ahead.
    pub(crate) fn source(&self) -> &R {
        &self.stream.source().source
    }

    /// Refuses to go on once a limit is passed.
    fn check_bounds(&self) -> Result<(), Error> {
        let Bounds { unpacked_bytes, ratio, ratio_free_bytes, .. } = self.bounds;
        if self.unpacked > unpacked_bytes {
            return Err((self.bounds.too_large)(unpacked_bytes));
        }
        let allowed = self.stream.source().count.saturating_mul(ratio).max(ratio_free_bytes);
        if self.unpacked > allowed {
            return Err(Error::Bomb { archive: self.label.clone(), limit: ratio });
        }
        Ok(())
    }

    /// Tells a failing source (already one of our errors) from a failing decoder.
    fn name_error(&self, error: io::Error) -> Error {
        let archive = || self.label.clone();
        match error.downcast::<Error>() {
            Ok(ours) => ours,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::Truncated { place: archive() }
            }
            Err(error) if asks_for_memory(&error) => {
                Error::DecoderMemory { archive: archive(), limit_bytes: self.bounds.decoder_bytes }
            }
            Err(source) => Error::Corrupt { archive: archive(), source },
        }
    }
}

/// Both decoders say so in their own way: xz by kind, zstd by text alone.
fn asks_for_memory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory
        || error.to_string().contains("requires too much memory")
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer) {
            Ok(n) => {
                self.unpacked += n as u64;
                self.check_bounds()?;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.name_error(error).into()),
        }
    }
}

impl<R: Read> Stream<Counted<R>> {
    #[cfg(feature = "xz")]
    fn xz(source: Counted<R>, decoder_bytes: u64) -> Self {
        let limit_kib = u32::try_from(decoder_bytes >> 10).unwrap_or(u32::MAX);
        Self::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(source, true, limit_kib)))
    }

    #[cfg(feature = "zstd")]
    fn zstd(source: Counted<R>, decoder_bytes: u64) -> Result<Self, Error> {
        let mut decoder = zstd::stream::read::Decoder::new(source).map_err(Error::Io)?;
        // The largest window that fits; zstd's own range is 2^10 to 2^31.
        let window_log = decoder_bytes.max(1).ilog2().clamp(10, 31);
        decoder.window_log_max(window_log).map_err(Error::Io)?;
        Ok(Self::Zstd(Box::new(decoder)))
    }

    fn source(&self) -> &Counted<R> {
        match self {
            Self::None(source) => source,
            Self::Gzip(decoder) => decoder.get_ref(),
            #[cfg(feature = "xz")]
            Self::Xz(decoder) => decoder.inner(),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::None(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            #[cfg(feature = "xz")]
            Self::Xz(decoder) => decoder.read(buffer),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.count += n as u64;
        Ok(n)
    }
}
