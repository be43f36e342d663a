//! Every way in which an archive can lie is refused, and under its own name.

use rota_artifact::Error;

use crate::forge::{
    Forge, Member, assert_refused, check, compress, entry, line, member, tar, typed_entry,
};

fn rebuilt(change: impl FnOnce(&mut Vec<Member>)) -> Result<rota_artifact::Summary, Error> {
    let mut members = Forge::sound().members();
    change(&mut members);
    check(&tar(&members))
}

#[test]
fn the_forge_makes_sound_artifacts() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let summary = Forge { suffix, ..Forge::sound() }.validate().unwrap();
        assert_eq!(summary.name, "release-1");
        assert_eq!(summary.updates[0].files.len(), 2);
    }
}

#[test]
fn payload_names_that_leave_their_folder() {
    for (name, absolute) in [
        ("../b.txt", false),
        ("..", false),
        ("x/b.txt", false),
        ("./b.txt", false),
        ("/etc/passwd", true),
    ] {
        let mut forge = Forge::sound();
        forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
        forge.files.push(member(name, "x"));
        if absolute {
            assert_refused!(forge.validate(), Error::AbsolutePath { .. });
        } else {
            assert_refused!(forge.validate(), Error::PathEscapes { .. });
        }
    }
}

#[test]
fn listed_names_that_leave_their_folder() {
    let forge = Forge::sound();
    let manifest = forge.manifest_of(&forge.header_archive());
    let with = |name: &str| {
        let manifest = Some(manifest.clone() + &line(name, b"x"));
        Forge { manifest, ..forge.clone() }.validate()
    };
    assert_refused!(with("data/0000/.."), Error::PathEscapes { .. });
    assert_refused!(with("data/0000/../../x"), Error::PathEscapes { .. });
    assert_refused!(with("/data/0000/x"), Error::AbsolutePath { .. });
    assert_refused!(with("data/0000/a b"), Error::ForbiddenName { .. });
    assert_refused!(with("data/0001/x"), Error::Manifest { line: 5, .. });
}

#[test]
fn header_names_that_leave_their_folder() {
    for name in ["headers/0000/../../../type-info", "scripts/../../x", "scripts/./x"] {
        let mut forge = Forge::sound();
        forge.header.insert(1, member(name, "x"));
        assert_refused!(forge.validate(), Error::PathEscapes { .. });
    }
    let mut forge = Forge::sound();
    forge.header.insert(1, member("/scripts/x", "x"));
    assert_refused!(forge.validate(), Error::AbsolutePath { .. });
}

#[test]
fn outer_names_that_leave_their_folder() {
    assert_refused!(rebuilt(|m| m.insert(2, member("../x", "x"))), Error::PathEscapes { .. });
    assert_refused!(rebuilt(|m| m.insert(2, member("/x", "x"))), Error::AbsolutePath { .. });
    assert_refused!(rebuilt(|m| m[0].0 = "./version".into()), Error::PathEscapes { .. });
}

#[test]
fn forbidden_characters_in_payload_names() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files.push(member("a@b.txt", "x"));
    assert_refused!(forge.validate(), Error::ForbiddenName { .. });
}

#[test]
fn files_that_are_not_listed() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files.push(member("z.txt", "x"));
    assert_refused!(forge.validate(), Error::NotListed { name } if name == "data/0000/z.txt");
}

#[test]
fn members_that_are_not_listed() {
    for hidden in ["header.tar", "version"] {
        let forge = Forge::sound();
        let manifest = forge.manifest_of(&forge.header_archive());
        let kept = manifest.lines().filter(|line| !line.ends_with(hidden));
        let manifest = Some(kept.collect::<Vec<_>>().join("\n") + "\n");
        let result = Forge { manifest, ..forge }.validate();
        assert_refused!(result, Error::NotListed { name } if name == hidden);
    }
}

#[test]
fn listed_files_that_never_arrive() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files.pop();
    assert_refused!(forge.validate(), Error::NeverArrived { names } if names == ["c.txt"]);

    let result = rebuilt(|members| {
        members.pop();
    });
    assert_refused!(result, Error::NeverArrived { names } if names == ["b.txt", "c.txt"]);
}

#[test]
fn members_out_of_order() {
    assert_refused!(rebuilt(|m| m.swap(0, 1)), Error::WrongOrder { .. });
    assert_refused!(rebuilt(|m| m.swap(1, 2)), Error::WrongOrder { .. });
    assert_refused!(rebuilt(|m| m.swap(2, 3)), Error::WrongOrder { .. });
    assert_refused!(
        rebuilt(|m| m.insert(3, member("manifest.sig", "AA=="))),
        Error::WrongOrder { .. }
    );
    assert_refused!(
        rebuilt(|m| m.insert(0, member("manifest.sig", "AA=="))),
        Error::WrongOrder { .. }
    );
}

#[test]
fn header_documents_out_of_order() {
    let moved = |from: usize, to: usize| {
        let mut forge = Forge::sound();
        let moved = forge.header.remove(from);
        forge.header.insert(to, moved);
        forge.validate()
    };
    assert_refused!(moved(0, 1), Error::WrongOrder { .. });
    assert_refused!(moved(1, 2), Error::WrongOrder { .. });
    assert_refused!(moved(1, 3), Error::WrongOrder { .. });
}

#[test]
fn missing_members() {
    let cut = |keep: usize| rebuilt(|m| m.truncate(keep));
    assert_refused!(cut(0), Error::MissingMember { member: "version", .. });
    assert_refused!(cut(1), Error::MissingMember { member: "manifest", .. });
    assert_refused!(cut(2), Error::MissingMember { member: "header.tar", .. });
    let result = Forge::sound().without("headers/0000/type-info").validate();
    assert_refused!(result, Error::MissingMember { member: "headers/0000/type-info", .. });
    let forge = Forge { header: Vec::new(), ..Forge::sound() };
    assert_refused!(forge.validate(), Error::MissingMember { member: "header-info", .. });
}

#[test]
fn the_same_name_twice() {
    for at in 0..4 {
        let result = rebuilt(|m| m.insert(at + 1, m[at].clone()));
        assert_refused!(result, Error::DuplicateName { .. });
    }
    for at in 0..4 {
        let mut forge = Forge::sound();
        forge.header.insert(at + 1, forge.header[at].clone());
        assert_refused!(forge.validate(), Error::DuplicateName { .. });
    }
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files.push(forge.files[0].clone());
    assert_refused!(forge.validate(), Error::DuplicateName { .. });
    forge.manifest = forge.manifest.map(|lines| lines.clone() + &lines);
    assert_refused!(forge.validate(), Error::DuplicateName { .. });
}

#[test]
fn the_payload_twice_under_two_compressions() {
    let forge = Forge::sound();
    let data = compress(".gz", &tar(&forge.files));
    let result = rebuilt(|m| m.push(member("data/0000.tar.gz", data)));
    assert_refused!(result, Error::DuplicateName { .. });
}

#[test]
fn unknown_members() {
    for at in 0..=4 {
        let result = rebuilt(|m| m.insert(at, member("foo", "x")));
        assert_refused!(result, Error::UnexpectedMember { .. });
    }
    for name in ["headers/0000/files", "headers/0001/type-info", "foo"] {
        let mut forge = Forge::sound();
        forge.header.push(member(name, "x"));
        assert_refused!(forge.validate(), Error::UnexpectedMember { .. });
    }
    assert_refused!(rebuilt(|m| m[0].0 = "versionX".into()), Error::UnexpectedMember { .. });
    assert_refused!(rebuilt(|m| m[3].0 = "data/0001.tar".into()), Error::UnexpectedMember { .. });
}

#[test]
fn augmented_artifacts() {
    let result = rebuilt(|m| m.insert(2, member("manifest-augment", "")));
    assert_refused!(result, Error::Augmented { .. });
    let result = rebuilt(|m| m.insert(3, member("header-augment.tar", "")));
    assert_refused!(result, Error::Augmented { .. });
}

#[test]
fn links_folders_and_devices() {
    use tar::EntryType;
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::Fifo,
    ] {
        let forge = Forge::sound();
        let mut data = typed_entry("b.txt", kind, b"");
        data.extend([0; 1024]);
        let result = rebuilt(|m| m[3].1 = data);
        assert_refused!(result, Error::NotAFile { .. });

        let mut outer = typed_entry("version", kind, b"");
        outer.extend(tar(&forge.members()));
        assert_refused!(check(&outer), Error::NotAFile { .. });
    }
}

#[test]
fn checksums_that_do_not_match() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    let flip = |change: fn(&mut Forge)| {
        let mut forge = forge.clone();
        change(&mut forge);
        match forge.validate() {
            Err(Error::ChecksumMismatch { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(flip(|forge| forge.files[1].1[0] ^= 1), "c.txt");
    assert_eq!(flip(|forge| forge.files[0].1.clear()), "b.txt");
    assert_eq!(flip(|forge| forge.header[1].1[0] ^= 1), "header.tar");
    assert_eq!(flip(|forge| forge.version.push(b' ')), "version");
}

#[test]
fn manifests_in_another_form() {
    let forge = Forge::sound();
    let sound = forge.manifest_of(&forge.header_archive());
    for manifest in [
        sound.replace("  ", " "),
        sound.replace('\n', "\r\n"),
        sound.to_uppercase(),
        sound.trim_end().to_owned(),
        format!("\n{sound}"),
        format!("{sound}x"),
    ] {
        let forge = Forge { manifest: Some(manifest), ..forge.clone() };
        assert_refused!(forge.validate(), Error::Manifest { .. });
    }
}

#[test]
fn unknown_formats_and_versions() {
    let with = |version: &str| Forge { version: version.into(), ..Forge::sound() }.validate();
    for found in [1, 2, 4] {
        let result = with(&format!(r#"{{"format":"mender","version":{found}}}"#));
        assert_refused!(result, Error::UnsupportedVersion { found: n } if n == found);
    }
    assert_refused!(with(r#"{"format":"foo","version":3}"#), Error::UnknownFormat { .. });
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"format":"mender"}"#,
        r#"{"format":"mender","version":"3"}"#,
        r#"{"format":"mender","version":3,"x":1}"#,
        "\u{0}",
    ] {
        assert_refused!(with(bad), Error::Json { document: "version", .. });
    }
}

#[test]
fn compressions_nobody_knows() {
    assert_refused!(
        rebuilt(|m| m[2].0 = "header.tar.bz2".into()),
        Error::UnsupportedCompression { .. }
    );
    assert_refused!(
        rebuilt(|m| m[3].0 = "data/0000.tar.bz2".into()),
        Error::UnsupportedCompression { .. }
    );
    assert_refused!(
        rebuilt(|m| m[3].0 = "data/0000.tarx".into()),
        Error::UnsupportedCompression { .. }
    );
}

#[test]
fn compressed_streams_of_another_kind() {
    for suffix in [".gz", ".xz", ".zst"] {
        let result = rebuilt(|m| m[3].0 = format!("data/0000.tar{suffix}"));
        assert_refused!(result, Error::Corrupt { .. });
    }
}

#[test]
fn bytes_after_the_end() {
    let mut artifact = Forge::sound().build();
    artifact.extend([0; 10_000]);
    check(&artifact).unwrap();
    artifact.push(1);
    assert_refused!(check(&artifact), Error::TrailingData { .. });

    let result = rebuilt(|m| m[3].1.push(1));
    assert_refused!(result, Error::TrailingData { .. });
    for suffix in [".gz", ".xz", ".zst"] {
        let mut members = Forge { suffix, ..Forge::sound() }.members();
        members[3].1.push(1);
        assert!(check(&tar(&members)).is_err(), "{suffix}");
    }
}

#[test]
fn damaged_tar_headers() {
    let sound = Forge::sound().build();
    for at in [0, 124, 136, 148, 156, 257] {
        let mut artifact = sound.clone();
        artifact[at] ^= 0x11;
        assert_refused!(check(&artifact), Error::Tar { .. });
    }
    let mut padding = sound.clone();
    padding[600] = 1;
    assert_refused!(check(&padding), Error::Tar { .. });
    let mut lone_zero_block = entry("version", &Forge::sound().version);
    lone_zero_block.extend([0; 512]);
    lone_zero_block.extend(sound);
    assert_refused!(check(&lone_zero_block), Error::Tar { .. });
}

#[test]
fn endless_extended_headers() {
    use tar::EntryType;
    let sound = Forge::sound().build();
    for kind in [
        EntryType::XHeader,
        EntryType::GNULongName,
        EntryType::XGlobalHeader,
        EntryType::GNULongLink,
    ] {
        let mut large = typed_entry("x", kind, &vec![b'a'; 20 << 10]);
        large.extend(&sound);
        assert_refused!(check(&large), Error::Tar { .. });
        let mut many = typed_entry("x", kind, b"").repeat(100);
        many.extend(&sound);
        assert_refused!(check(&many), Error::Tar { .. });
    }
}

#[test]
fn truncation_anywhere() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let artifact = Forge { suffix, ..Forge::sound() }.build();
        for length in 0..artifact.len() {
            assert_refused!(check(&artifact[..length]), Error::Truncated { .. });
        }
    }
}

#[test]
fn truncated_streams_inside_a_whole_file() {
    for suffix in [".gz", ".xz", ".zst"] {
        let forge = Forge { suffix, ..Forge::sound() };
        let mut members = forge.members();
        let half = members[3].1.len() / 2;
        members[3].1.truncate(half);
        assert_refused!(check(&tar(&members)), Error::Truncated { .. });
    }
}
