//! Signing an Artifact that exists already.

use std::io::{Read, Write};

use crate::{
    Error, Limits, Manifest, SigningKey,
    archive::{Archive, Member},
    signature,
};

use super::{
    WriteError,
    container::{Entry, TarWriter},
    source::CHUNK_BYTES,
};

/// What to do with a signature that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resign {
    /// Fail with [`WriteError::AlreadySigned`].
    Refuse,
    /// Replace it.
    Replace,
}

/// Copies the Artifact `input` to `output` with a signature by `key` behind its manifest.
///
/// Only the manifest is read; use [`validate()`](crate::validate()) first to know what is signed.
pub fn sign(
    input: impl Read,
    output: impl Write,
    key: &SigningKey,
    resign: Resign,
) -> Result<(), WriteError> {
    let mut archive = Archive::new(input, "the Artifact");
    let mut copy = TarWriter::new(output);
    let mut is_signed = false;
    while let Some(member) = archive.next()? {
        match &*member.name {
            "manifest" => {
                let raw = archive.read_member(&member, Limits::default().manifest_bytes)?;
                let manifest = Manifest::parse(raw)?;
                copy.append(&entry(&member), manifest.as_bytes())?;
                let signature = key.sign(manifest.as_bytes()).ok_or(WriteError::Signing)?;
                let text = signature::encode(&signature);
                copy.append(&Entry::document("manifest.sig"), text.as_bytes())?;
                is_signed = true;
            }
            "manifest.sig" if resign == Resign::Refuse => return Err(WriteError::AlreadySigned),
            "manifest.sig" => {}
            _ => copy_member(&mut archive, &mut copy, &member)?,
        }
    }
    if !is_signed {
        let (archive, member) = ("the Artifact".to_owned(), "manifest");
        return Err(Error::MissingMember { archive, member }.into());
    }
    archive.finish()?;
    copy.finish()?.flush().map_err(WriteError::Output)
}

fn copy_member<R: Read, W: Write>(
    archive: &mut Archive<R>,
    copy: &mut TarWriter<W>,
    member: &Member,
) -> Result<(), WriteError> {
    copy.begin(&entry(member), member.size_bytes)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match archive.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => copy.put(&buffer[..n])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::from_read(error).into()),
        }
    }
    copy.pad(member.size_bytes)
}

fn entry(member: &Member) -> Entry {
    let Member { name, mode, modified_unix, .. } = member.clone();
    Entry { name, mode, modified_unix }
}
