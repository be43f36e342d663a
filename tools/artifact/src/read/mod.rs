//! The streaming reader: one pass, forward only, nothing believed before it is checked.

mod header;
mod info;
mod payload;

use std::io::{self, Read};

use crate::{
    Checksum, Compression, Error, Header, Limits, Manifest, Signature, Summary, VerifyKeys,
    archive::{Archive, Member},
    json::Object,
    manifest, name, signature,
};

use payload::Ledger;
pub use payload::{Payload, PayloadFile};

/// Largest `version` and `manifest.sig`; a signature by an 8192-bit key takes 1,368 bytes.
const SMALL_MEMBER_BYTES: u64 = 16 << 10;
/// How errors call the file itself.
const OUTER: &str = "the Artifact";

/// Reads an Artifact and checks every byte of it; `keys`, if given, must include the one that
/// signed it.
pub fn validate<R: Read + Send>(
    source: R,
    limits: &Limits,
    keys: Option<&VerifyKeys>,
) -> Result<Summary, Error> {
    match keys {
        Some(keys) => Reader::open_verified(source, limits, keys)?,
        None => Reader::open(source, limits)?,
    }
    .finish()
}

/// An Artifact being read: its header is known, its payload still streams.
///
/// The order of calls is [`open`](Self::open), [`payload`](Self::payload) until its files are
/// used up, [`finish`](Self::finish). What a payload file delivered is certain at that file's
/// end; that the Artifact is whole, only after `finish`.
#[derive(Debug)]
pub struct Reader<R> {
    outer: Archive<Source<R>>,
    limits: Limits,
    header: Header,
    ledger: Ledger,
}

impl<R: Read + Send> Reader<R> {
    /// Reads up to the payload: format version, manifest, header. A signature is not checked.
    pub fn open(source: R, limits: &Limits) -> Result<Self, Error> {
        Self::start(source, limits, None)
    }

    /// As [`open`](Self::open), and refuses an Artifact that none of `keys` signed, before
    /// anything behind the signature is read.
    pub fn open_verified(source: R, limits: &Limits, keys: &VerifyKeys) -> Result<Self, Error> {
        Self::start(source, limits, Some(keys))
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The payload. Its files can be read once: a second call gives a payload without files.
    pub fn payload(&mut self) -> Result<Payload<'_, R>, Error> {
        Payload::open(&mut self.outer, &mut self.ledger, &self.limits)
    }

    /// Makes sure that everything the manifest lists has come, and nothing else, and that the
    /// file ends where it should. Reads the payload first if nobody did.
    ///
    /// Fails with [`Error::Unfinished`] after a payload was left in the middle or failed.
    pub fn finish(mut self) -> Result<Summary, Error> {
        if !self.ledger.is_opened() {
            let mut payload = self.payload()?;
            while payload.next_file()?.is_some() {}
        }
        let files = self.ledger.into_files()?;
        if let Some(member) = self.outer.next()? {
            return Err(unexpected(&member.name, "the end of the Artifact", Seen::Payload));
        }
        self.outer.finish()?;
        Ok(Summary::new(&self.header, files, self.outer.source().count))
    }

    fn start(source: R, limits: &Limits, keys: Option<&VerifyKeys>) -> Result<Self, Error> {
        let source = Source { inner: source, count: 0, limit: limits.artifact_bytes };
        let mut outer = Archive::new(source, OUTER);

        let member = expect(&mut outer, "version", Seen::Nothing, |name| name == "version")?;
        let version = outer.read_member(&member, SMALL_MEMBER_BYTES)?;
        let format_version = read_version(&version)?;

        let member = expect(&mut outer, "manifest", Seen::Version, |name| name == "manifest")?;
        let manifest = Manifest::parse(outer.read_member(&member, limits.manifest_bytes)?)?;

        let header_name = |name: &str| name.starts_with("header.tar");
        let mut member = expect(&mut outer, "header.tar", Seen::Manifest, |name| {
            name == "manifest.sig" || header_name(name)
        })?;
        let signature = if member.name == "manifest.sig" {
            let text = outer.read_member(&member, SMALL_MEMBER_BYTES)?;
            member = expect(&mut outer, "header.tar", Seen::Signature, header_name)?;
            Some(text)
        } else {
            None
        };
        let signature = check_signature(&manifest, signature, keys)?;
        check_sum(&manifest, manifest::VERSION, Checksum::of(&version))?;

        let documents = header::read(&mut outer, &member, &manifest, limits)?;
        let ledger = Ledger::new(&manifest, &documents.payload.payload_type, limits)?;
        let header = Header {
            format_version,
            artifact_name: documents.info.artifact_name,
            artifact_group: documents.info.artifact_group,
            depends: documents.info.depends,
            payload: documents.payload,
            scripts: documents.scripts,
            manifest,
            signature,
            header_info_json: documents.header_info_json,
        };
        Ok(Self { outer, limits: limits.clone(), header, ledger })
    }
}

/// How far the reader has come; tells a member that comes twice from one out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Version,
    Manifest,
    Signature,
    Header,
    Payload,
}

fn expect<R: Read>(
    outer: &mut Archive<R>,
    expected: &'static str,
    seen: Seen,
    fits: impl Fn(&str) -> bool,
) -> Result<Member, Error> {
    match outer.next()? {
        Some(member) if fits(&member.name) => Ok(member),
        Some(member) => Err(unexpected(&member.name, expected, seen)),
        None => Err(Error::MissingMember { archive: OUTER.to_owned(), member: expected }),
    }
}

/// Names what is wrong with a member that is not the one expected.
fn unexpected(name: &str, expected: &'static str, seen: Seen) -> Error {
    if matches!(name, "manifest-augment") || name.starts_with("header-augment") {
        return Error::Augmented { member: name.to_owned() };
    }
    let kind = match name {
        "version" => Some(Seen::Version),
        "manifest" => Some(Seen::Manifest),
        "manifest.sig" => Some(Seen::Signature),
        _ if name.starts_with("header.tar") => Some(Seen::Header),
        _ if name.starts_with("data/0000.tar") => Some(Seen::Payload),
        _ => None,
    };
    match kind {
        // A missing signature is no reason to think that one came before.
        Some(Seen::Signature) if seen > Seen::Signature => {
            Error::WrongOrder { found: name.to_owned(), expected }
        }
        Some(kind) if kind <= seen => Error::DuplicateName { name: name.to_owned() },
        Some(_) => Error::WrongOrder { found: name.to_owned(), expected },
        None => match name::check_relative(name) {
            Err(error) => error,
            Ok(()) => Error::UnexpectedMember { archive: OUTER.to_owned(), name: name.to_owned() },
        },
    }
}

/// The compression that a member called `<stem>.tar…` has, if this build can undo it.
fn compression_of(member: &str, stem: &str) -> Result<Compression, Error> {
    member
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix(".tar"))
        .and_then(Compression::from_suffix)
        .filter(|compression| compression.is_built_in())
        .ok_or_else(|| Error::UnsupportedCompression { member: member.to_owned() })
}

fn read_version(bytes: &[u8]) -> Result<u8, Error> {
    const SUPPORTED: u8 = 3;
    const DOCUMENT: &str = "version";
    let missing =
        |field| Error::Json { document: DOCUMENT, reason: format!("{field:?} is missing") };
    let mut object = Object::parse(DOCUMENT, bytes)?;
    let format = object.take_string("format")?.ok_or_else(|| missing("format"))?;
    let version = object.take_unsigned("version")?.ok_or_else(|| missing("version"))?;
    if format != "mender" {
        return Err(Error::UnknownFormat { found: format });
    }
    if version != u64::from(SUPPORTED) {
        return Err(Error::UnsupportedVersion { found: version });
    }
    object.deny_others()?;
    Ok(SUPPORTED)
}

fn check_signature(
    manifest: &Manifest,
    text: Option<Vec<u8>>,
    keys: Option<&VerifyKeys>,
) -> Result<Signature, Error> {
    let signature = text.map(|text| signature::decode(&text)).transpose()?;
    match (signature, keys) {
        (None, None) => Ok(Signature::Unsigned),
        (None, Some(_)) => Err(Error::MissingSignature),
        (Some(_), None) => Ok(Signature::Unverified),
        (Some(signature), Some(keys)) if keys.verify(manifest.as_bytes(), &signature) => {
            Ok(Signature::Verified)
        }
        (Some(_), Some(_)) => Err(Error::WrongSignature),
    }
}

fn check_sum(manifest: &Manifest, name: &str, found: Checksum) -> Result<(), Error> {
    match manifest.get(name) {
        None => Err(Error::NotListed { name: name.to_owned() }),
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(Error::ChecksumMismatch { name: name.to_owned(), expected, found }),
    }
}

/// The file itself: counts, holds to the size limit, and marks failures as the source's own.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: R,
    count: u64,
    limit: u64,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match self.inner.read(buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(Error::Io(error).into()),
        };
        self.count += n as u64;
        if self.count > self.limit {
            return Err(Error::ArtifactTooLarge { limit_bytes: self.limit }.into());
        }
        Ok(n)
    }
}
