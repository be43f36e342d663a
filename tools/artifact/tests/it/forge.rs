//! Artifacts put together by hand, so that they can be put together wrongly.

use std::io::{Read, Write};

use rota_artifact::{Checksum, Error, Limits, Summary, validate};

/// Asserts that the value is this variant, and prints what it was otherwise.
macro_rules! assert_refused {
    ($result:expr, $variant:pat $(if $guard:expr)?) => {
        match $result {
            Err($variant) $(if $guard)? => {}
            other => panic!("expected {}, got {other:?}", stringify!($variant $(if $guard)?)),
        }
    };
}
pub(crate) use assert_refused;

/// A member of a tar archive: name and content.
pub(crate) type Member = (String, Vec<u8>);

pub(crate) fn member(name: &str, content: impl Into<Vec<u8>>) -> Member {
    (name.to_owned(), content.into())
}

/// An Artifact in parts; [`Forge::sound`] is flawless.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) version: Vec<u8>,
    /// Computed when `None`.
    pub(crate) manifest: Option<String>,
    pub(crate) signature: Option<Vec<u8>>,
    pub(crate) header: Vec<Member>,
    pub(crate) files: Vec<Member>,
    /// Of header and payload.
    pub(crate) suffix: &'static str,
}

impl Forge {
    /// A single-file Artifact, not compressed, not signed.
    pub(crate) fn sound() -> Self {
        Self {
            version: br#"{"format":"mender","version":3}"#.to_vec(),
            manifest: None,
            signature: None,
            header: vec![
                member(
                    "header-info",
                    r#"{"payloads":[{"type":"single-file"}],"artifact_provides":{"artifact_name":"release-1"},"artifact_depends":{"device_type":["qemu"]}}"#,
                ),
                member("scripts/ArtifactInstall_Enter_00", "#!/bin/sh\n"),
                member(
                    "headers/0000/type-info",
                    r#"{"type":"single-file","artifact_provides":{"a":"1"},"clears_artifact_provides":["a*"]}"#,
                ),
                member("headers/0000/meta-data", r#"{"k":"v"}"#),
            ],
            files: vec![member("b.txt", "hello\n"), member("c.txt", "world\n")],
            suffix: "",
        }
    }

    /// Replaces a document of the header.
    pub(crate) fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        let slot = self.header.iter_mut().find(|(other, _)| other == name).unwrap();
        slot.1 = content.into();
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.header.retain(|(other, _)| other != name);
        self
    }

    pub(crate) fn header_archive(&self) -> Vec<u8> {
        compress(self.suffix, &tar(&self.header))
    }

    pub(crate) fn manifest_of(&self, header: &[u8]) -> String {
        let mut lines: Vec<_> = (self.files.iter())
            .map(|(name, content)| line(&format!("data/0000/{name}"), content))
            .collect();
        lines.push(line(&format!("header.tar{}", self.suffix), header));
        lines.push(line("version", &self.version));
        lines.concat()
    }

    /// The outer members, in order.
    pub(crate) fn members(&self) -> Vec<Member> {
        let header = self.header_archive();
        let manifest = self.manifest.clone().unwrap_or_else(|| self.manifest_of(&header));
        let mut members =
            vec![member("version", self.version.clone()), member("manifest", manifest)];
        if let Some(signature) = &self.signature {
            members.push(member("manifest.sig", signature.clone()));
        }
        members.push(member(&format!("header.tar{}", self.suffix), header));
        let data = compress(self.suffix, &tar(&self.files));
        members.push(member(&format!("data/0000.tar{}", self.suffix), data));
        members
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        tar(&self.members())
    }

    pub(crate) fn validate(&self) -> Result<Summary, Error> {
        check(&self.build())
    }
}

pub(crate) fn check(artifact: &[u8]) -> Result<Summary, Error> {
    validate(artifact, &Limits::default(), None)
}

/// A line of the manifest.
pub(crate) fn line(name: &str, content: &[u8]) -> String {
    format!("{}  {name}\n", Checksum::of(content))
}

pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in members {
        archive.extend(entry(name, content));
    }
    archive.extend([0; 1024]);
    archive
}

/// A tar header with its content, under any name at all.
pub(crate) fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    typed_entry(name, tar::EntryType::Regular, content)
}

pub(crate) fn typed_entry(name: &str, kind: tar::EntryType, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(content.len() as u64);
    header.set_mtime(0);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(crate) fn compress(suffix: &str, bytes: &[u8]) -> Vec<u8> {
    match suffix {
        "" => bytes.to_vec(),
        ".gz" => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".xz" => {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        other => panic!("no compressor for {other}"),
    }
}

/// Reads an Artifact as an installer would: every file's name and content.
pub(crate) fn unpack(artifact: &[u8]) -> Result<(Summary, Vec<Member>), Error> {
    let mut reader = rota_artifact::Reader::open(artifact, &Limits::default())?;
    let mut files = Vec::new();
    let mut payload = reader.payload()?;
    while let Some(mut file) = payload.next_file()? {
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(Error::from_read)?;
        files.push((file.name().to_owned(), content));
    }
    Ok((reader.finish()?, files))
}
