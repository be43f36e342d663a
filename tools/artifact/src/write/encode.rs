//! Compression on the way out.

use std::io::{self, Write};

use crate::Compression;

use super::gzip::ParallelGzip;

/// A compressor over `W`.
pub(super) enum Encoder<W: Write> {
    None(W),
    Gzip(ParallelGzip<W>),
    #[cfg(feature = "xz")]
    Xz(Box<lzma_rust2::XzWriterMt<W>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// `level` is brought into the compressor's range.
    pub(super) fn new(
        output: W,
        compression: Compression,
        level: Option<u32>,
        threads: usize,
    ) -> io::Result<Self> {
        match compression {
            Compression::None => Ok(Self::None(output)),
            Compression::Gzip => ParallelGzip::new(output, level, threads).map(Self::Gzip),
            #[cfg(feature = "xz")]
            Compression::Xz => xz(output, level.unwrap_or(6), threads),
            #[cfg(feature = "zstd")]
            Compression::Zstd => zstd(output, level.unwrap_or(3), threads),
            #[cfg(not(all(feature = "xz", feature = "zstd")))]
            other => {
                let reason = format!("this build cannot write {other}");
                Err(io::Error::new(io::ErrorKind::Unsupported, reason))
            }
        }
    }

    /// Writes what is left and gives the output back.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            #[cfg(feature = "xz")]
            Self::Xz(encoder) => encoder.finish(),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(feature = "xz")]
fn xz<W: Write>(output: W, level: u32, threads: usize) -> io::Result<Encoder<W>> {
    /// Uncompressed bytes in one block, which is what one thread works on.
    const BLOCK_BYTES: u64 = 24 << 20;
    let mut options = lzma_rust2::XzOptions::with_preset(level.min(9));
    options.set_block_size(std::num::NonZeroU64::new(BLOCK_BYTES));
    let threads = u32::try_from(threads).unwrap_or(u32::MAX);
    lzma_rust2::XzWriterMt::new(output, options, threads)
        .map(|encoder| Encoder::Xz(Box::new(encoder)))
}

#[cfg(feature = "zstd")]
fn zstd<W: Write>(output: W, level: u32, threads: usize) -> io::Result<Encoder<W>> {
    let level = level.clamp(1, 22).cast_signed();
    let mut encoder = zstd::Encoder::new(output, level)?;
    encoder.include_checksum(true)?;
    encoder.multithread(u32::try_from(threads).unwrap_or(u32::MAX))?;
    Ok(Encoder::Zstd(encoder))
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            #[cfg(feature = "xz")]
            Self::Xz(encoder) => encoder.write(bytes),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            #[cfg(feature = "xz")]
            Self::Xz(encoder) => encoder.flush(),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}
