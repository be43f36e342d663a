//! Damage behind the checksums: whoever forges a file can make its sums right. Nothing panics,
//! and what is accepted keeps the promises that installers rely on.

use proptest::{collection, prelude::*, sample};

use crate::forge::{Forge, Member, check, compress, line, member, tar, unpack};

/// A mutation of some bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Overwrite(sample::Index, Vec<u8>),
    Remove(sample::Index, usize),
    Insert(sample::Index, Vec<u8>),
    /// Copies a block of a tar archive somewhere else.
    CopyBlock(sample::Index, sample::Index),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let index = any::<sample::Index>;
    let bytes = || {
        prop_oneof![
            collection::vec(any::<u8>(), 1..16),
            sample::select(vec![&b"../"[..], b"/", b"\0", b"{", b"\"", b"null", b"99999999999"])
                .prop_map(<[u8]>::to_vec),
        ]
    };
    let mutation = prop_oneof![
        (index(), bytes()).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        (index(), 1..600_usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        (index(), bytes()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (index(), index()).prop_map(|(from, to)| Mutation::CopyBlock(from, to)),
    ];
    collection::vec(mutation, 1..5)
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[Mutation]) {
    for mutation in mutations {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match mutation {
            Mutation::Overwrite(at, new) => {
                let at = at.index(length);
                let end = length.min(at + new.len());
                bytes[at..end].copy_from_slice(&new[..end - at]);
            }
            Mutation::Remove(at, count) => {
                let at = at.index(length);
                bytes.drain(at..length.min(at + count));
            }
            Mutation::Insert(at, new) => {
                let at = at.index(length);
                bytes.splice(at..at, new.iter().copied());
            }
            Mutation::CopyBlock(from, to) => {
                let blocks = length.div_ceil(512);
                let start = from.index(blocks) * 512;
                let block = bytes[start..length.min(start + 512)].to_vec();
                let to = to.index(blocks) * 512;
                bytes.splice(to..to, block);
            }
        }
    }
}

/// Makes every header checksum of a tar archive right again, where headers are expected.
fn repair_sums(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + 512) {
        if block.iter().all(|byte| *byte == 0) {
            return;
        }
        let mut header = tar::Header::from_byte_slice(block).clone();
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or(0).min(archive.len() as u64);
        at += 512 + usize::try_from(size).unwrap().next_multiple_of(512);
    }
}

/// What an installer relies on, whatever else the file may be.
fn assert_promises(artifact: &[u8]) {
    let Ok((summary, files)) = unpack(artifact) else { return };
    for (name, _) in &files {
        assert!(!name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..");
    }
    for script in &summary.scripts {
        assert!(script.starts_with("Artifact") && !script.contains('/'));
    }
    if let Some(name) = summary.updates[0].payload_type.name() {
        assert!(!name.contains('/') && name != "..");
    }
    assert!(!summary.name.is_empty() && !summary.device_types.is_empty());
    assert_eq!(summary.updates[0].files.len(), files.len());
    assert_eq!(summary.size_bytes, artifact.len() as u64);
}

fn suffixes() -> impl Strategy<Value = &'static str> {
    sample::select(vec!["", ".gz", ".xz", ".zst"])
}

/// An Artifact with these archives and a manifest to match.
fn assemble(suffix: &'static str, header: &[u8], data: &[u8]) -> Vec<u8> {
    let forge = Forge { suffix, ..Forge::sound() };
    let header = compress(suffix, header);
    let manifest = forge.manifest_of(&header);
    tar(&[
        member("version", forge.version),
        member("manifest", manifest),
        member(&format!("header.tar{suffix}"), header),
        member(&format!("data/0000.tar{suffix}"), compress(suffix, data)),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn archives_inside(suffix in suffixes(), mutations in mutations(), repaired: bool) {
        let forge = Forge::sound();
        for damage_header in [true, false] {
            let (mut header, mut data) = (tar(&forge.header), tar(&forge.files));
            let damaged = if damage_header { &mut header } else { &mut data };
            mutate(damaged, &mutations);
            if repaired {
                repair_sums(damaged);
            }
            assert_promises(&assemble(suffix, &header, &data));
        }
    }

    #[test]
    fn the_archive_outside(mutations in mutations()) {
        let mut artifact = Forge::sound().build();
        mutate(&mut artifact, &mutations);
        repair_sums(&mut artifact);
        assert_promises(&artifact);
    }

    #[test]
    fn compressed_streams(suffix in suffixes(), mutations in mutations()) {
        let mut members = Forge { suffix, ..Forge::sound() }.members();
        mutate(&mut members[3].1, &mutations);
        assert_promises(&tar(&members));

        let forge = Forge { suffix, ..Forge::sound() };
        let mut members = forge.members();
        mutate(&mut members[2].1, &mutations);
        members[1].1 = forge.manifest_of(&members[2].1).into();
        assert_promises(&tar(&members));
    }

    #[test]
    fn documents(which in 0..4_usize, mutations in mutations()) {
        let mut forge = Forge::sound();
        mutate(&mut forge.header[which].1, &mutations);
        assert_promises(&forge.build());
    }

    #[test]
    fn manifests(mutations in mutations()) {
        let forge = Forge::sound();
        let mut members = forge.members();
        mutate(&mut members[1].1, &mutations);
        assert_promises(&tar(&members));
    }

    #[test]
    fn member_names(names in collection::vec(names(), 0..6), at in any::<sample::Index>()) {
        let forge = Forge::sound();
        let extra: Vec<Member> = names.iter().map(|name| member(name, "x")).collect();
        let lines: String = names.iter().map(|name| line(name, b"x")).collect();
        let manifest = forge.manifest_of(&forge.header_archive()) + &lines;

        let mut outer = forge.members();
        let place = at.index(outer.len() + 1);
        outer.splice(place..place, extra.clone());
        assert_promises(&tar(&outer));

        let mut inner = Forge { manifest: Some(manifest), ..forge.clone() };
        inner.files.extend(extra.clone());
        assert_promises(&inner.build());

        let mut header = forge;
        let place = at.index(header.header.len() + 1);
        header.header.splice(place..place, extra);
        assert_promises(&header.build());
    }

    #[test]
    fn signatures(text in collection::vec(any::<u8>(), 0..400)) {
        let forge = Forge { signature: Some(text), ..Forge::sound() };
        let _ = check(&forge.build());
    }
}

fn names() -> impl Strategy<Value = String> {
    sample::select(vec![
        "version",
        "manifest",
        "manifest.sig",
        "header.tar",
        "header.tar.gz",
        "data/0000.tar",
        "data/0000.tar.gz",
        "data/0001.tar",
        "manifest-augment",
        "header-info",
        "b.txt",
        "c.txt",
        "d.txt",
        "data/0000/d.txt",
        "..",
        ".",
        "../d.txt",
        "/d.txt",
        "a/b",
        "scripts/",
        "scripts/ArtifactCommit_Leave_00",
        "scripts/../x",
        "headers/0000/type-info",
        "headers/0000/meta-data",
        "headers/0000/files",
        "headers/0001/type-info",
        "a b",
        "ü",
    ])
    .prop_map(str::to_owned)
}
