//! The order of calls: files are streamed, checked at their end, and never half-believed.

use std::io::Read;

use rota_artifact::{Error, Limits, PayloadType, Reader, Signature};

use crate::forge::{Forge, assert_refused, unpack};

fn open(artifact: &[u8]) -> Reader<&[u8]> {
    Reader::open(artifact, &Limits::default()).unwrap()
}

#[test]
fn the_header_is_known_before_the_payload() {
    let artifact = Forge::sound().build();
    // Cut off where the payload begins: opening does not need it.
    let reader = open(&artifact[..artifact.len() - 4096]);
    let header = reader.header();
    assert_eq!(header.artifact_name, "release-1");
    assert_eq!(header.depends.device_types, ["qemu"]);
    assert_eq!(header.payload.payload_type, PayloadType::Module("single-file".into()));
    assert_eq!(header.payload.provides["a"], "1");
    assert_eq!(header.payload.clears_provides, Some(vec!["a*".into()]));
    assert_eq!(header.payload.meta_data_json, br#"{"k":"v"}"#);
    assert_eq!(header.scripts[0].content, b"#!/bin/sh\n");
    assert_eq!(header.signature, Signature::Unsigned);
    assert_eq!(header.manifest.payload_files().count(), 2);
}

#[test]
fn files_come_in_order_with_their_content() {
    let (summary, files) = unpack(&Forge::sound().build()).unwrap();
    assert_eq!(files, Forge::sound().files);
    let sizes: Vec<_> = summary.updates[0].files.iter().map(|file| file.size_bytes).collect();
    assert_eq!(sizes, [6, 6]);
    assert_eq!(summary.scripts, ["ArtifactInstall_Enter_00"]);
    assert_eq!(summary.provides["artifact_name"], "release-1");
}

#[test]
fn a_file_left_in_the_middle_is_still_checked() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files[0].1[5] ^= 1;
    let artifact = forge.build();
    let mut reader = open(&artifact);
    let mut payload = reader.payload().unwrap();
    let mut byte = [0];
    payload.next_file().unwrap().unwrap().read_exact(&mut byte).unwrap();
    assert_refused!(payload.next_file(), Error::ChecksumMismatch { .. });
    assert_refused!(payload.next_file(), Error::Unfinished);
    assert_refused!(reader.finish(), Error::Unfinished);
}

#[test]
fn the_last_bytes_of_a_bad_file_are_withheld() {
    let mut forge = Forge::sound();
    forge.manifest = Some(forge.manifest_of(&forge.header_archive()));
    forge.files[0].1[0] ^= 1;
    let artifact = forge.build();
    let mut reader = open(&artifact);
    let mut payload = reader.payload().unwrap();
    let mut file = payload.next_file().unwrap().unwrap();
    let mut content = [0; 6];
    let error = file.read_exact(&mut content).unwrap_err();
    assert!(matches!(Error::from_read(error), Error::ChecksumMismatch { .. }));
    // Whoever ignores that does not find a clean end either.
    assert!(file.read(&mut content).is_err());
    drop(file);
    assert!(payload.next_file().is_err());
    assert_refused!(reader.finish(), Error::Unfinished);
}

#[test]
fn a_payload_left_in_the_middle_cannot_be_finished() {
    let artifact = Forge::sound().build();
    let mut reader = open(&artifact);
    reader.payload().unwrap().next_file().unwrap();
    assert_refused!(reader.payload().unwrap().next_file(), Error::Unfinished);
    assert_refused!(reader.finish(), Error::Unfinished);
}

#[test]
fn a_finished_payload_stays_finished() {
    let artifact = Forge::sound().build();
    let mut reader = open(&artifact);
    let mut payload = reader.payload().unwrap();
    while payload.next_file().unwrap().is_some() {}
    assert!(payload.next_file().unwrap().is_none());
    assert!(reader.payload().unwrap().next_file().unwrap().is_none());
    reader.finish().unwrap();
}

#[test]
fn empty_files_are_checked_too() {
    let mut forge = Forge::sound();
    forge.files[0].1.clear();
    let (_, files) = unpack(&forge.build()).unwrap();
    assert_eq!(files[0].1, b"");
}

#[test]
fn summaries_survive_json() {
    let summary = Forge::sound().validate().unwrap();
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["updates"][0]["type"], "single-file");
    assert_eq!(json["signature"], "unsigned");
    assert_eq!(serde_json::from_value::<rota_artifact::Summary>(json).unwrap(), summary);
}
