//! What the builder writes, refuses, and adds by itself.

use std::collections::BTreeMap;

use rota_artifact::{Builder, Compression, Limits, Reader, SoftwareVersion, Summary, WriteError};
use serde_json::json;

use crate::{
    forge::{check, unpack},
    keys,
};

fn module() -> Builder {
    Builder::module_image("single-file", "release-1").device_type("d").file_bytes("f", "content")
}

fn rootfs() -> Builder {
    Builder::rootfs_image("release-1").device_type("d").file_bytes("image.ext4", "content")
}

fn provides(builder: Builder) -> BTreeMap<String, String> {
    let mut provides = check(&builder.to_vec().unwrap()).unwrap().provides;
    provides.remove("artifact_name");
    provides
}

fn clears(builder: Builder) -> Vec<String> {
    check(&builder.to_vec().unwrap()).unwrap().clears_provides.unwrap_or_default()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

const CONTENT_SUM: &str = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";

#[test]
fn everything_comes_back() {
    let meta_data = json!({"nested": [{"a": [1]}], "<>&": "ü"});
    for compression in Compression::ALL {
        let artifact = Builder::module_image("my-module", "release-1")
            .device_type("a")
            .device_type("b")
            .provides_group("g")
            .depends_on_artifact("release-0")
            .depends_on_group("h")
            .depends("k", "v:w")
            .provides("p", "")
            .clears_provides("x.*")
            .meta_data(meta_data.as_object().unwrap().clone())
            .script("ArtifactInstall_Leave_01", "two")
            .script("ArtifactInstall_Enter_00", "one")
            .file_bytes("b", "content of b")
            .file_bytes("a", "")
            .compression(compression)
            .modified_unix(1_700_000_000)
            .to_vec()
            .unwrap();
        let (summary, files) = unpack(&artifact).unwrap();
        assert_eq!(files, [("b".into(), b"content of b".to_vec()), ("a".into(), Vec::new())]);
        let Summary { depends, updates, scripts, .. } = &summary;
        assert_eq!(summary.device_types, ["a", "b"]);
        assert_eq!(depends["artifact_name"], ["release-0"]);
        assert_eq!(depends["artifact_group"], ["h"]);
        assert_eq!(depends["k"], ["v:w"]);
        assert_eq!(summary.provides["artifact_group"], "g");
        assert_eq!(summary.provides["p"], "");
        assert_eq!(
            summary.clears_provides.as_deref(),
            Some(&["x.*".into(), "rootfs-image.my-module.*".into()][..])
        );
        assert_eq!(*scripts, ["ArtifactInstall_Enter_00", "ArtifactInstall_Leave_01"]);
        assert_eq!(updates[0].meta_data.as_ref(), meta_data.as_object());
        assert!(updates[0].files.iter().all(|file| file.modified_unix == 1_700_000_000));
        assert_eq!(summary.size_bytes, artifact.len() as u64);
    }
}

#[test]
fn defaults_of_root_filesystem_images() {
    assert_eq!(
        provides(rootfs()),
        map(&[("rootfs-image.checksum", CONTENT_SUM), ("rootfs-image.version", "release-1")])
    );
    assert_eq!(clears(rootfs()), ["artifact_group", "rootfs_image_checksum", "rootfs-image.*"]);
    assert_eq!(
        provides(rootfs().legacy_checksum_provide()),
        map(&[("rootfs_image_checksum", CONTENT_SUM), ("rootfs-image.version", "release-1")])
    );
    assert_eq!(
        provides(rootfs().without_checksum_provide()),
        map(&[("rootfs-image.version", "release-1")])
    );
    let named = SoftwareVersion { name: Some("app".into()), ..SoftwareVersion::default() };
    assert_eq!(clears(rootfs().software(named)), ["rootfs-image.app.*"]);
}

#[test]
fn defaults_of_modules() {
    assert_eq!(provides(module()), map(&[("rootfs-image.single-file.version", "release-1")]));
    assert_eq!(clears(module()), ["rootfs-image.single-file.*"]);
    let software = SoftwareVersion {
        filesystem: Some("data".into()),
        name: Some("app".into()),
        version: Some("7".into()),
    };
    assert_eq!(provides(module().software(software.clone())), map(&[("data.app.version", "7")]));
    assert_eq!(clears(module().software(software)), ["data.app.*"]);
    let unversioned =
        SoftwareVersion { version: Some(String::new()), ..SoftwareVersion::default() };
    assert_eq!(
        provides(module().software(unversioned)),
        map(&[("rootfs-image.single-file.version", "release-1")])
    );
}

#[test]
fn defaults_can_be_turned_off() {
    assert_eq!(provides(module().without_default_software_version()), map(&[]));
    assert!(clears(module().without_default_software_version()).is_empty());
    assert!(clears(module().without_default_clears_provides()).is_empty());
    let version = SoftwareVersion { version: Some("7".into()), ..SoftwareVersion::default() };
    assert_eq!(
        provides(module().without_default_software_version().software(version)),
        map(&[("rootfs-image.version", "7")])
    );
    let own = "rootfs-image.single-file.*";
    assert_eq!(clears(module().clears_provides(own)), [own]);
    assert_eq!(
        provides(module().provides("rootfs-image.single-file.version", "mine")),
        map(&[("rootfs-image.single-file.version", "mine")])
    );
}

#[test]
fn bootstrap_artifacts_carry_only_what_is_said() {
    let builder = Builder::bootstrap("first").device_type("d").provides("a", "1");
    let artifact = builder.to_vec().unwrap();
    let summary = check(&artifact).unwrap();
    assert_eq!(summary.provides, map(&[("a", "1"), ("artifact_name", "first")]));
    assert_eq!(summary.clears_provides, None);
    assert_eq!(summary.updates[0].payload_type.name(), None);
}

#[test]
fn meta_data_stands_where_mender_expects_it() {
    let document = |builder: Builder| {
        let artifact = builder.compression(Compression::None).to_vec().unwrap();
        let reader = Reader::open(&*artifact, &Limits::default()).unwrap();
        let named = |name: &[u8]| artifact.windows(name.len()).any(|window| window == name);
        (named(b"headers/0000/meta-data"), reader.header().payload.meta_data_json.clone())
    };
    assert_eq!(document(rootfs()), (true, Vec::new()));
    assert_eq!(document(module()), (false, Vec::new()));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let noise: Vec<u8> = (0..3_000_000_u32).map(|n| n.wrapping_mul(n).to_le_bytes()[1]).collect();
    for compression in Compression::ALL {
        let with = |threads| {
            module()
                .file_bytes("noise", &*noise)
                .script("ArtifactInstall_Leave_01", "two")
                .script("ArtifactInstall_Enter_00", "one")
                .compression(compression)
                .sign_with(keys::signing(keys::RSA))
                .threads(threads)
                .to_vec()
                .unwrap()
        };
        let once = with(1);
        assert!(once == with(1), "{compression}");
        assert!(once == with(3), "{compression} with more threads");
    }
}

#[test]
fn files_from_disk_keep_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.ext4");
    std::fs::write(&path, "content").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let builder = Builder::rootfs_image("n").device_type("d").file(&path);
    assert_eq!(builder.payload_bytes().unwrap(), 7);
    let summary = check(&builder.to_vec().unwrap()).unwrap();
    assert_eq!(summary.updates[0].files[0].modified_unix, 1_600_000_000);
    assert_eq!(summary.updates[0].files[0].name, "image.ext4");
}

#[test]
fn what_no_reader_would_take_is_refused() {
    let refused = |builder: Builder| builder.to_vec().unwrap_err();
    assert!(matches!(refused(Builder::bootstrap("n")), WriteError::NoDeviceType));
    let label = |builder| matches!(refused(builder), WriteError::Label { .. });
    assert!(label(Builder::bootstrap("").device_type("d")));
    assert!(label(Builder::bootstrap("x".repeat(257)).device_type("d")));
    assert!(label(module().device_type("")));
    assert!(label(Builder::module_image("../x", "n").device_type("d")));
    let name =
        |name: &str| matches!(refused(module().file_bytes(name, "")), WriteError::FileName { .. });
    assert!(["a b", "a/b", "..", "", "ü", &"x".repeat(91)].into_iter().all(name));
    assert!(matches!(refused(module().file_bytes("f", "")), WriteError::Duplicate { .. }));
    assert!(matches!(
        refused(rootfs().file_bytes("g", "")),
        WriteError::FileCount { found: 2, .. }
    ));
    let bootstrap = || Builder::bootstrap("n").device_type("d");
    assert!(matches!(refused(bootstrap().file_bytes("f", "")), WriteError::FileCount { .. }));
    assert!(matches!(refused(bootstrap().script("x", "")), WriteError::EmptyPayload { .. }));
    assert!(matches!(refused(module().script("x", "")), WriteError::ScriptName { .. }));
    assert!(matches!(
        refused(module().provides("artifact_name", "x")),
        WriteError::ReservedKey { .. }
    ));
    assert!(matches!(
        refused(module().depends("device_type", "x")),
        WriteError::ReservedKey { .. }
    ));
    assert!(matches!(refused(module().clears_provides(r"\")), WriteError::Glob(_)));
    assert!(matches!(refused(module().file("/nonexistent/f2")), WriteError::Input { .. }));
    assert!(matches!(refused(module().file("/")), WriteError::FileName { .. }));
}
