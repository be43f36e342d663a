//! Mender's Artifact format, version 3: read, validate, write and sign update files.
//!
//! One streaming parser serves the server (uploads), the device (installs) and the command line
//! tool. It trusts nothing it reads: every way in which a file can lie has its own [`Error`], and
//! every quantity a file chooses is held to [`Limits`]. Memory does not grow with the payload.
//!
//! - [`Reader`] walks an Artifact forward, once: header first, then payload files.
//! - [`validate()`] reads one to its end and returns the [`Summary`] that a server stores.
//! - [`VerifyKeys`] checks the signature before anything behind it is believed.
//! - [`Builder`] and [`SigningKey`] (feature `write`) make Artifacts.
//!
//! All of it is synchronous `std::io`; asynchronous callers run it on a blocking thread.
//!
//! Features: `write`, `xz`, `zstd`, and `cli` for the `rota-artifact` command; all are on by
//! default. A device takes `default-features = false` and the decompressors it wants.

mod archive;
mod checksum;
mod compression;
mod decode;
mod error;
mod glob;
mod header;
mod json;
mod limits;
mod manifest;
mod name;
mod read;
mod signature;
mod summary;
#[cfg(feature = "write")]
mod write;

pub use checksum::{Checksum, InvalidChecksum};
pub use compression::{Compression, UnknownCompression};
pub use error::Error;
pub use glob::{InvalidGlob, ProvidesGlob};
pub use header::{Header, HeaderDepends, PayloadHeader, PayloadType, Script};
pub use limits::Limits;
pub use manifest::{Manifest, ManifestEntry};
pub use read::{Payload, PayloadFile, Reader, validate};
pub use signature::{KeyError, Signature, VerifyKeys};
#[cfg(feature = "write")]
pub use signature::{SigningAlgorithm, SigningKey};
pub use summary::{File, Summary, Update};
#[cfg(feature = "write")]
pub use write::{Builder, Resign, SoftwareVersion, WriteError, Written, sign};
