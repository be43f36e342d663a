//! What real files do and stricter readers trip over is accepted.

use std::io::{self, Read};

use rota_artifact::{Error, Limits, Reader, validate};

use crate::forge::{Forge, check, compress, entry, member, tar, typed_entry};

#[test]
fn rootfs_images_whose_type_info_names_no_type() {
    let mut forge = Forge::sound()
        .with("header-info", r#"{"payloads":[{"type":"rootfs-image"}],"artifact_provides":{"artifact_name":"n"},"artifact_depends":{"device_type":["d"]}}"#)
        .with("headers/0000/type-info", r#"{"type":""}"#)
        .with("headers/0000/meta-data", "");
    forge.files.pop();
    let summary = forge.validate().unwrap();
    assert!(summary.updates[0].payload_type.is_rootfs_image());
    assert_eq!(summary.updates[0].meta_data, None);
    assert_eq!(summary.clears_provides, None);
}

#[test]
fn keys_in_another_case_and_unknown_ones_in_depends() {
    let summary = Forge::sound()
        .with("header-info", r#"{"Payloads":[{"type":"single-file","x":1}],"ARTIFACT_PROVIDES":{"Artifact_Name":"n","artifact_group":null},"artifact_depends":{"Device_Type":["d"],"x":1}}"#)
        .with("headers/0000/type-info", r#"{"Type":"single-file","x":1}"#)
        .validate()
        .unwrap();
    assert_eq!((&*summary.name, &*summary.device_types), ("n", &["d".to_owned()][..]));
}

#[test]
fn lists_of_values_to_depend_on() {
    let summary = Forge::sound()
        .with(
            "headers/0000/type-info",
            r#"{"type":"single-file","artifact_depends":{"a":["1","2"],"b":"3"}}"#,
        )
        .validate()
        .unwrap();
    assert_eq!(summary.depends["a"], ["1", "2"]);
    assert_eq!(summary.depends["b"], ["3"]);
    assert_eq!(summary.depends["device_type"], ["qemu"]);
}

#[test]
fn meta_data_before_type_info() {
    let mut forge = Forge::sound();
    forge.header.swap(2, 3);
    forge.validate().unwrap();
}

#[test]
fn header_and_payload_compressed_differently() {
    let forge = Forge::sound();
    for suffix in [".gz", ".xz", ".zst"] {
        let mut members = forge.members();
        members[3] =
            member(&format!("data/0000.tar{suffix}"), compress(suffix, &tar(&forge.files)));
        check(&tar(&members)).unwrap();
    }
}

#[test]
fn payloads_of_several_compressed_streams() {
    let forge = Forge::sound();
    let data = tar(&forge.files);
    let (head, tail) = data.split_at(700);
    for suffix in [".gz", ".xz", ".zst"] {
        let mut members = forge.members();
        let both = [compress(suffix, head), compress(suffix, tail)].concat();
        members[3] = member(&format!("data/0000.tar{suffix}"), both);
        check(&tar(&members)).unwrap();
    }
}

#[test]
fn a_module_without_files_and_without_payload_member() {
    let forge = Forge { files: Vec::new(), ..Forge::sound() };
    let mut members = forge.members();
    assert!(check(&tar(&members)).unwrap().updates[0].files.is_empty());
    members.pop();
    assert!(check(&tar(&members)).unwrap().updates[0].files.is_empty());
}

#[test]
fn other_dialects_of_tar() {
    use tar::EntryType;
    let forge = Forge::sound();
    let long_name = typed_entry("././@LongLink", EntryType::GNULongName, b"version\0");
    let pax = typed_entry("pax", EntryType::XHeader, b"16 path=version\n20 ctime=1700000000\n");
    for extension in [long_name, pax] {
        let mut artifact = extension;
        artifact.extend(entry("ignored", &forge.version));
        artifact.extend(tar(&forge.members()[1..]));
        check(&artifact).unwrap();
    }
    // GNU tar pads archives to 10 KiB.
    let mut padded = forge.build();
    padded.resize(padded.len().next_multiple_of(10 << 10), 0);
    assert_eq!(check(&padded).unwrap().size_bytes, padded.len() as u64);
}

/// Gives one byte at a time, and is interrupted before each.
struct Dripping<'a>(&'a [u8], bool);

impl Read for Dripping<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let wanted = buffer.len().min(1);
        self.0.read(&mut buffer[..wanted])
    }
}

#[test]
fn sources_that_drip() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let artifact = Forge { suffix, ..Forge::sound() }.build();
        let summary = validate(Dripping(&artifact, false), &Limits::default(), None).unwrap();
        assert_eq!(summary, check(&artifact).unwrap());
    }
}

/// Fails in the middle.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::new(io::ErrorKind::ConnectionReset, "the line went dead")),
            n => Ok(n),
        }
    }
}

#[test]
fn a_failing_source_is_not_blamed_on_the_artifact() {
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let artifact = Forge { suffix, ..Forge::sound() }.build();
        for length in (0..artifact.len()).step_by(97) {
            let source = Failing(&artifact[..length]);
            match validate(source, &Limits::default(), None) {
                Err(Error::Io(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
                }
                other => panic!("{suffix} at {length}: {other:?}"),
            }
        }
    }
}

#[test]
fn reader_is_send() {
    fn send<T: Send>(_: &T) {}
    let artifact = Forge::sound().build();
    send(&Reader::open(&*artifact, &Limits::default()).unwrap());
}
