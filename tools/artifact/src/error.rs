//! Everything that can be wrong with an Artifact, each fault under its own name.

use std::io;

use crate::{Checksum, signature::KeyError};

/// Why an Artifact was refused.
///
/// Only [`Io`](Self::Io) is about the source; every other variant is about the file itself, and
/// trying again will not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source could not be read.
    #[error("cannot read the Artifact")]
    Io(#[source] io::Error),
    /// The file ends early.
    #[error("the Artifact is truncated in {place}")]
    Truncated { place: String },
    /// A tar archive is damaged.
    #[error("{archive} is not a sound tar archive: {reason}")]
    Tar { archive: String, reason: String },
    /// A compressed stream is damaged, or not of the kind its name says.
    #[error("{archive} does not decompress")]
    Corrupt { archive: String, source: io::Error },
    /// Something other than zero bytes follows the end of an archive.
    #[error("there is data after the end of {archive}")]
    TrailingData { archive: String },

    /// `version` names another format.
    #[error("the file's format is {found:?}, expected \"mender\"")]
    UnknownFormat { found: String },
    /// `version` names a version other than 3.
    #[error("Artifact format version {found} is not supported, only version 3 is")]
    UnsupportedVersion { found: u64 },
    /// The archive's suffix is unknown, or its decompressor is not part of this build.
    #[error("the compression of {member} is not supported")]
    UnsupportedCompression { member: String },
    /// The number of payloads is not one.
    #[error("an Artifact with {found} payloads is not supported, only one payload is")]
    UnsupportedPayloadCount { found: usize },
    /// The Artifact carries unsigned additions (`manifest-augment`, `header-augment`).
    #[error("augmented Artifacts are not supported ({member})")]
    Augmented { member: String },

    /// A member that the format knows stands in the wrong place.
    #[error("{found} is out of order, expected {expected}")]
    WrongOrder { found: String, expected: &'static str },
    /// The archive is complete, but lacks a member that the format demands.
    #[error("{member} is missing in {archive}")]
    MissingMember { archive: String, member: &'static str },
    /// A member that the format does not know.
    #[error("unexpected member {name:?} in {archive}")]
    UnexpectedMember { archive: String, name: String },
    /// A link, device, folder or other thing where a plain file must be.
    #[error("{name:?} in {archive} is a {kind}, only plain files are allowed")]
    NotAFile { archive: String, name: String, kind: &'static str },
    /// A name that starts at the root.
    #[error("the name {name:?} is an absolute path")]
    AbsolutePath { name: String },
    /// A name with `..`, `.` or a folder where only a base name may be.
    #[error("the name {name:?} leaves its folder")]
    PathEscapes { name: String },
    /// A name with characters outside letters, digits and `.,_-`, or an impossible length.
    #[error("the name {name:?} is not allowed: {reason}")]
    ForbiddenName { name: String, reason: &'static str },
    /// The same file, script or header twice.
    #[error("{name:?} occurs more than once")]
    DuplicateName { name: String },

    /// `manifest` is not in the form of sha256sum.
    #[error("line {line} of the manifest is malformed: {reason}")]
    Manifest { line: usize, reason: &'static str },
    /// A file whose checksum the manifest does not give.
    #[error("{name:?} is not listed in the manifest")]
    NotListed { name: String },
    /// Files whose checksums the manifest gives, but which never came.
    #[error("listed in the manifest, but not part of the Artifact: {}", names.join(", "))]
    NeverArrived { names: Vec<String> },
    /// The bytes are not those that the manifest promises.
    #[error("checksum mismatch of {name:?}: expected {expected}, found {found}")]
    ChecksumMismatch { name: String, expected: Checksum, found: Checksum },

    /// A document is not JSON, or not of the expected shape.
    #[error("{document} is not valid: {reason}")]
    Json { document: &'static str, reason: String },
    /// A document is well-formed but says something that cannot be.
    #[error("{document} is not acceptable: {reason}")]
    Header { document: &'static str, reason: String },
    /// A state script's name is not `<State>_<Enter|Leave|Error>_<NN>[_text]`.
    #[error("{name:?} is not the name of a state script")]
    ScriptName { name: String },

    /// Keys were given, but the Artifact is unsigned.
    #[error("the Artifact is not signed, but a signature is required")]
    MissingSignature,
    /// `manifest.sig` is not base64.
    #[error("the signature is not valid base64")]
    SignatureEncoding,
    /// No key fits the signature.
    #[error("the signature does not match: wrong key, or the manifest was changed")]
    WrongSignature,
    /// There is no key to verify with.
    #[error("no usable key")]
    Key(#[from] KeyError),

    /// Beyond [`Limits::artifact_bytes`](crate::Limits::artifact_bytes).
    #[error("the Artifact is larger than {limit_bytes} bytes")]
    ArtifactTooLarge { limit_bytes: u64 },
    /// Beyond [`Limits::manifest_bytes`](crate::Limits::manifest_bytes), or a `version` or
    /// `manifest.sig` of absurd size.
    #[error("{member} is larger than {limit_bytes} bytes")]
    MemberTooLarge { member: String, limit_bytes: u64 },
    /// Beyond [`Limits::header_bytes`](crate::Limits::header_bytes), compressed or unpacked.
    #[error("the header is larger than {limit_bytes} bytes")]
    HeaderTooLarge { limit_bytes: u64 },
    /// Beyond [`Limits::scripts`](crate::Limits::scripts).
    #[error("more than {limit} state scripts")]
    TooManyScripts { limit: usize },
    /// Beyond [`Limits::files`](crate::Limits::files).
    #[error("more than {limit} payload files")]
    TooManyFiles { limit: usize },
    /// Beyond [`Limits::payload_bytes`](crate::Limits::payload_bytes).
    #[error("the payload unpacks to more than {limit_bytes} bytes")]
    PayloadTooLarge { limit_bytes: u64 },
    /// Beyond [`Limits::ratio`](crate::Limits::ratio): a decompression bomb.
    #[error("{archive} unpacks to more than {limit} times its size")]
    Bomb { archive: String, limit: u64 },
    /// Beyond [`Limits::decoder_bytes`](crate::Limits::decoder_bytes).
    #[error("decompressing {archive} needs more than {limit_bytes} bytes of memory")]
    DecoderMemory { archive: String, limit_bytes: u64 },

    /// [`Reader::finish`](crate::Reader::finish) was called while a payload had unread files.
    #[error("the payload was not read to its end")]
    Unfinished,
}

impl Error {
    /// Whether the source failed, rather than the Artifact.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io(_))
    }

    /// The error that a [`PayloadFile`](crate::PayloadFile) wrapped to get it through
    /// [`io::Read`]; a foreign one becomes [`Error::Io`].
    pub fn from_read(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::Io)
    }
}

/// Carries the error through [`io::Read`]; [`Error::from_read`] brings it back.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(source) => source.kind(),
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
