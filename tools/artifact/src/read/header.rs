//! The header archive: which documents it holds, in which order.

use std::{collections::BTreeMap, io::Read};

use crate::{
    Checksum, Error, Limits, Manifest, PayloadHeader, Script,
    archive::{Archive, Member},
    decode::{Bounds, Decoded},
    name,
};

use super::{
    check_sum, compression_of,
    info::{self, HeaderInfo},
};

const HEADER_INFO: &str = "header-info";
const TYPE_INFO: &str = "headers/0000/type-info";
const META_DATA: &str = "headers/0000/meta-data";
const SCRIPTS: &str = "scripts/";

/// Everything the header archive says.
pub(super) struct Documents {
    pub(super) info: HeaderInfo,
    pub(super) header_info_json: Vec<u8>,
    pub(super) scripts: Vec<Script>,
    pub(super) payload: PayloadHeader,
}

/// Reads the header archive. Its bytes are held and compared with the manifest before any of
/// them is decompressed, so that no decoder ever sees what nobody vouches for.
pub(super) fn read<R: Read>(
    outer: &mut Archive<R>,
    member: &Member,
    manifest: &Manifest,
    limits: &Limits,
) -> Result<Documents, Error> {
    let compression = compression_of(&member.name, "header")?;
    let packed = read_document(outer, member, limits)?;
    check_sum(manifest, &member.name, Checksum::of(&packed))?;

    let bounds = Bounds::of_header(limits);
    let source = Decoded::new(&*packed, compression, &member.name, bounds)?;
    let mut archive = Archive::new(source, &*member.name);
    let parts = Parts::read(&mut archive, limits)?;
    archive.finish()?;
    parts.parse()
}

fn read_document<R: Read>(
    archive: &mut Archive<R>,
    member: &Member,
    limits: &Limits,
) -> Result<Vec<u8>, Error> {
    let limit_bytes = limits.header_bytes;
    if member.size_bytes > limit_bytes {
        return Err(Error::HeaderTooLarge { limit_bytes });
    }
    archive.read_member(member, limit_bytes)
}

/// The members, as bytes.
struct Parts {
    header_info: Vec<u8>,
    scripts: BTreeMap<String, Vec<u8>>,
    type_info: Option<Vec<u8>>,
    meta_data: Option<Vec<u8>>,
}

impl Parts {
    fn read<R: Read>(archive: &mut Archive<R>, limits: &Limits) -> Result<Self, Error> {
        let missing = |member| Error::MissingMember { archive: "the header".to_owned(), member };
        let first = archive.next()?.ok_or_else(|| missing(HEADER_INFO))?;
        if first.name != HEADER_INFO {
            return Err(misplaced(archive, &first.name, HEADER_INFO));
        }
        let mut parts = Self {
            header_info: read_document(archive, &first, limits)?,
            scripts: BTreeMap::new(),
            type_info: None,
            meta_data: None,
        };
        while let Some(member) = archive.next()? {
            parts.take(archive, &member, limits)?;
        }
        Ok(parts)
    }

    fn take<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        member: &Member,
        limits: &Limits,
    ) -> Result<(), Error> {
        name::check_relative(&member.name)?;
        let slot = match &*member.name {
            TYPE_INFO => &mut self.type_info,
            META_DATA => &mut self.meta_data,
            other => {
                let script = other.strip_prefix(SCRIPTS);
                let script = script.ok_or_else(|| misplaced(archive, other, TYPE_INFO))?;
                if self.type_info.is_some() || self.meta_data.is_some() {
                    return Err(misplaced(archive, other, "the end of the header"));
                }
                return self.take_script(archive, member, script, limits);
            }
        };
        if slot.is_some() {
            return Err(Error::DuplicateName { name: member.name.clone() });
        }
        *slot = Some(read_document(archive, member, limits)?);
        Ok(())
    }

    fn take_script<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        member: &Member,
        script: &str,
        limits: &Limits,
    ) -> Result<(), Error> {
        name::check_script(script)?;
        if self.scripts.contains_key(script) {
            return Err(Error::DuplicateName { name: member.name.clone() });
        }
        if self.scripts.len() == limits.scripts {
            return Err(Error::TooManyScripts { limit: limits.scripts });
        }
        let content = read_document(archive, member, limits)?;
        self.scripts.insert(script.to_owned(), content);
        Ok(())
    }

    fn parse(self) -> Result<Documents, Error> {
        let info = info::read_header_info(&self.header_info)?;
        let type_info = self.type_info.ok_or_else(|| Error::MissingMember {
            archive: "the header".to_owned(),
            member: TYPE_INFO,
        })?;
        let payload = info::read_payload(&info.payload_type, type_info, self.meta_data)?;
        let scripts = self.scripts.into_iter();
        Ok(Documents {
            info,
            header_info_json: self.header_info,
            scripts: scripts.map(|(name, content)| Script { name, content }).collect(),
            payload,
        })
    }
}

/// Names what is wrong with a member that does not belong where it stands.
fn misplaced<R: Read>(archive: &Archive<R>, name: &str, expected: &'static str) -> Error {
    if let Err(error) = name::check_relative(name) {
        return error;
    }
    let known = [HEADER_INFO, TYPE_INFO, META_DATA].contains(&name) || name.starts_with(SCRIPTS);
    if name == HEADER_INFO && expected != HEADER_INFO {
        Error::DuplicateName { name: name.to_owned() }
    } else if known {
        Error::WrongOrder { found: name.to_owned(), expected }
    } else {
        Error::UnexpectedMember { archive: archive.label().to_owned(), name: name.to_owned() }
    }
}
