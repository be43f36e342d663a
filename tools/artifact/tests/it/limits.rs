//! Whatever an Artifact chooses for itself is held to a limit, and each limit has its error.

use rota_artifact::{Builder, Compression, Error, Limits, Summary, validate};

use crate::forge::{Forge, assert_refused, compress, line, member, tar};

fn under(artifact: &[u8], limits: &Limits) -> Result<Summary, Error> {
    validate(artifact, limits, None)
}

#[test]
fn whole_file() {
    let artifact = Forge::sound().build();
    let size = artifact.len() as u64;
    let limits = |artifact_bytes| Limits { artifact_bytes, ..Limits::default() };
    under(&artifact, &limits(size)).unwrap();
    assert_refused!(under(&artifact, &limits(size - 1)), Error::ArtifactTooLarge { .. });
}

#[test]
fn manifest() {
    let limits = Limits { manifest_bytes: 100, ..Limits::default() };
    let result = under(&Forge::sound().build(), &limits);
    assert_refused!(result, Error::MemberTooLarge { member, .. } if member == "manifest");
}

#[test]
fn version_and_signature() {
    let version = format!(r#"{{"format":"mender","version":3{}}}"#, " ".repeat(20_000));
    let forge = Forge { version: version.into(), ..Forge::sound() };
    assert_refused!(forge.validate(), Error::MemberTooLarge { .. });
    let forge = Forge { signature: Some(vec![b'A'; 20_000]), ..Forge::sound() };
    assert_refused!(forge.validate(), Error::MemberTooLarge { .. });
}

#[test]
fn header_packed_and_unpacked() {
    let limits = || Limits { header_bytes: 64 << 10, ..Limits::default() };
    for suffix in ["", ".gz", ".xz", ".zst"] {
        let mut forge = Forge { suffix, ..Forge::sound() };
        forge.header.insert(1, member("scripts/ArtifactCommit_Enter_00", vec![0; 100 << 10]));
        assert_refused!(under(&forge.build(), &limits()), Error::HeaderTooLarge { .. });
    }
}

#[test]
fn scripts() {
    let limits = Limits { scripts: 3, ..Limits::default() };
    let mut forge = Forge::sound();
    for n in 1..=3 {
        forge.header.insert(1, member(&format!("scripts/ArtifactInstall_Enter_0{n}"), ""));
    }
    assert_refused!(under(&forge.build(), &limits), Error::TooManyScripts { limit: 3 });
}

#[test]
fn files() {
    let limits = Limits { files: 1, ..Limits::default() };
    assert_refused!(under(&Forge::sound().build(), &limits), Error::TooManyFiles { limit: 1 });
}

fn zeros(compression: Compression, bytes: usize) -> Vec<u8> {
    Builder::module_image("single-file", "zeros")
        .device_type("d")
        .file_bytes("zeros", vec![0; bytes])
        .compression(compression)
        .to_vec()
        .unwrap()
}

#[test]
fn unpacked_payload() {
    let limits = || Limits { payload_bytes: 1 << 20, ..Limits::default() };
    for compression in Compression::ALL {
        under(&zeros(compression, 1 << 19), &limits()).unwrap();
        let result = under(&zeros(compression, 1 << 21), &limits());
        assert_refused!(result, Error::PayloadTooLarge { .. });
    }
}

#[test]
fn bombs() {
    let limits = || Limits { ratio_free_bytes: 1 << 20, ratio: 100, ..Limits::default() };
    for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        under(&zeros(compression, 1 << 19), &limits()).unwrap();
        assert_refused!(under(&zeros(compression, 4 << 20), &limits()), Error::Bomb { .. });
    }
}

#[test]
fn a_bomb_behind_the_last_file() {
    let mut forge = Forge::sound();
    let mut data = tar(&forge.files);
    data.resize(4 << 20, 0);
    forge.suffix = ".gz";
    let mut members = forge.members();
    members[3].1 = compress(".gz", &data);
    let limits = Limits { ratio_free_bytes: 1 << 20, ratio: 100, ..Limits::default() };
    assert_refused!(under(&tar(&members), &limits), Error::Bomb { .. });
}

#[test]
fn a_great_many_empty_streams_need_no_stack() {
    let forge = Forge::sound();
    for suffix in [".gz", ".xz", ".zst"] {
        let mut data = compress(suffix, &tar(&forge.files));
        data.extend(compress(suffix, b"").repeat(50_000));
        let mut members = forge.members();
        members[3] = member(&format!("data/0000.tar{suffix}"), data);
        under(&tar(&members), &Limits::default()).unwrap();
    }
}

#[test]
fn decoder_memory() {
    let limits = || Limits { decoder_bytes: 1 << 20, ..Limits::default() };
    // At these levels xz asks for 8 MiB whatever comes, zstd for 2 MiB when enough comes.
    for (compression, level, bytes) in
        [(Compression::Xz, 6, 1 << 10), (Compression::Zstd, 3, 3 << 20)]
    {
        let artifact = Builder::module_image("single-file", "wide")
            .device_type("d")
            .file_bytes("wide", vec![0; bytes])
            .compression(compression)
            .compression_level(level)
            .to_vec()
            .unwrap();
        under(&artifact, &Limits::default()).unwrap();
        assert_refused!(under(&artifact, &limits()), Error::DecoderMemory { .. });
    }
}

#[test]
fn a_huge_size_is_believed_only_as_it_arrives() {
    let mut forge = Forge::sound();
    forge.manifest = Some(line("version", &forge.version));
    let mut artifact = tar(&forge.members());
    // The size field of the first member: 8 GiB of which nothing follows.
    artifact.truncate(512);
    let mut header = tar::Header::from_byte_slice(&artifact).clone();
    header.set_size(8 << 30);
    header.set_cksum();
    assert_refused!(under(header.as_bytes(), &Limits::default()), Error::MemberTooLarge { .. });
}
