//! Small Artifacts written by mender-artifact 3.9, kept so that they can be read, and damaged,
//! without it.

use rota_artifact::{Error, Limits, Signature, validate};

use crate::{
    forge::{assert_refused, check, unpack},
    keys,
};

pub(crate) const ROOTFS_NONE: &[u8] = include_bytes!("corpus/rootfs-none.mender");
pub(crate) const ROOTFS_GZIP_RSA: &[u8] = include_bytes!("corpus/rootfs-gzip-rsa.mender");
pub(crate) const MODULE_GZIP_P256: &[u8] = include_bytes!("corpus/module-gzip-p256.mender");
pub(crate) const MODULE_XZ: &[u8] = include_bytes!("corpus/module-xz.mender");
pub(crate) const BOOTSTRAP_GZIP: &[u8] = include_bytes!("corpus/bootstrap-gzip.mender");
pub(crate) const VERSION_2: &[u8] = include_bytes!("corpus/version-2.mender");

#[test]
fn root_filesystem_images() {
    for artifact in [ROOTFS_NONE, ROOTFS_GZIP_RSA] {
        let (summary, files) = unpack(artifact).unwrap();
        assert!(summary.updates[0].payload_type.is_rootfs_image());
        assert_eq!(files, [("image.ext4".to_owned(), b"content of the image\n".to_vec())]);
        assert_eq!(summary.updates[0].files[0].modified_unix, 1_700_000_000);
        assert_eq!(summary.provides["rootfs-image.version"], "release-1");
    }
}

#[test]
fn modules() {
    let (summary, files) = unpack(MODULE_GZIP_P256).unwrap();
    assert_eq!(files, [("a.conf".to_owned(), b"a=1\n".to_vec()), ("b.conf".to_owned(), vec![])]);
    assert_eq!(summary.device_types, ["qemu", "other"]);
    assert_eq!(summary.updates[0].meta_data.as_ref().unwrap()["two"], "<&>");
    assert_eq!(summary.depends["k"], ["v"]);
    assert_eq!(summary.provides["p"], "q");
    assert_eq!(unpack(MODULE_XZ).unwrap().1, files[..1]);
}

#[test]
fn bootstrap_artifacts() {
    let summary = check(BOOTSTRAP_GZIP).unwrap();
    assert_eq!(summary.updates[0].payload_type.name(), None);
    assert_eq!(summary.clears_provides, Some(vec!["x.*".to_owned()]));
}

#[test]
fn signatures() {
    let keys = keys::verifying(&[keys::P256_PUBLIC, keys::RSA_PUBLIC]);
    for artifact in [ROOTFS_GZIP_RSA, MODULE_GZIP_P256] {
        let summary = validate(artifact, &Limits::default(), Some(&keys)).unwrap();
        assert_eq!(summary.signature, Signature::Verified);
    }
}

#[test]
fn the_older_format() {
    assert_refused!(check(VERSION_2), Error::UnsupportedVersion { found: 2 });
}
