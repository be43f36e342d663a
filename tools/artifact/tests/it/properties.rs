//! Whatever goes in comes out again, and whatever is damaged is noticed.

use std::collections::BTreeMap;

use proptest::{collection, prelude::*, sample};
use rota_artifact::{Builder, Compression, Limits, validate};
use serde_json::{Map, Value};

use crate::{
    corpus,
    forge::{check, unpack},
    keys,
};

fn compressions() -> impl Strategy<Value = Compression> {
    sample::select(&Compression::ALL[..])
}

fn meta_data() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::btree_map(".*", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    collection::btree_map(".{0,8}", value, 0..4).prop_map(|map| map.into_iter().collect())
}

fn label() -> impl Strategy<Value = String> {
    r"[a-zA-Z0-9äßλ✓ ._:/\\\-]{1,40}"
}

prop_compose! {
    fn files()(files in collection::btree_map(
        r"[a-zA-Z0-9_,\-][a-zA-Z0-9._,\-]{0,89}",
        collection::vec(any::<u8>(), 0..2000),
        0..5,
    )) -> BTreeMap<String, Vec<u8>> { files }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(
        compression in compressions(),
        name in label(),
        types in collection::vec(label(), 1..4),
        depends in collection::btree_map("[a-z.]{1,9}", ".*", 0..4),
        provides in collection::btree_map("[a-z.]{1,9}", ".*", 0..4),
        meta_data in meta_data(),
        files in files(),
        key in sample::select(vec![None, Some(keys::RSA), Some(keys::P256), Some(keys::ED25519)]),
    ) {
        let mut builder = Builder::module_image("module", name.clone())
            .without_default_software_version()
            .compression(compression)
            .meta_data(meta_data.clone());
        for device_type in &types {
            builder = builder.device_type(device_type);
        }
        for (key, value) in &depends {
            builder = builder.depends(key, value);
        }
        for (key, value) in &provides {
            builder = builder.provides(key, value);
        }
        for (name, content) in &files {
            builder = builder.file_bytes(name, content.clone());
        }
        if let Some(pem) = key {
            builder = builder.sign_with(keys::signing(pem));
        }
        let artifact = builder.to_vec().unwrap();
        let (summary, read) = unpack(&artifact).unwrap();
        prop_assert_eq!(&summary.name, &name);
        prop_assert_eq!(&summary.device_types, &types);
        for (key, value) in depends {
            prop_assert_eq!(&summary.depends[&key], &[value]);
        }
        for (key, value) in provides {
            prop_assert_eq!(&summary.provides[&key], &value);
        }
        let expected = Some(meta_data).filter(|map| !map.is_empty());
        prop_assert_eq!(&summary.updates[0].meta_data, &expected);
        prop_assert_eq!(read.into_iter().collect::<BTreeMap<_, _>>(), files);
        if key.is_some() {
            let all = keys::verifying(&[keys::RSA_PUBLIC, keys::P256_PUBLIC, keys::ED25519_PUBLIC]);
            validate(&*artifact, &Limits::default(), Some(&all)).unwrap();
        }
    }

    #[test]
    fn truncation_is_always_noticed(artifact in sample(), cut in any::<sample::Index>()) {
        prop_assert!(check(&artifact[..cut.index(artifact.len())]).is_err());
    }

    /// A flipped bit is refused, or lies where the format has no meaning (a time stamp in a gzip
    /// header, say): then everything read is as it was.
    #[test]
    fn flipped_bits_change_nothing_unnoticed(
        artifact in sample(),
        at in any::<sample::Index>(),
        bit in 0..8_u8,
    ) {
        let before = unpack(&artifact).unwrap();
        let mut damaged = artifact;
        let at = at.index(damaged.len());
        damaged[at] ^= 1 << bit;
        if let Ok(after) = unpack(&damaged) {
            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn noise_never_panics(noise in collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(check(&noise).is_err());
    }

    #[test]
    fn overwritten_stretches_never_panic(
        artifact in sample(),
        at in any::<sample::Index>(),
        noise in collection::vec(any::<u8>(), 1..600),
    ) {
        let mut damaged = artifact.clone();
        let at = at.index(damaged.len());
        let end = damaged.len().min(at + noise.len());
        damaged[at..end].copy_from_slice(&noise[..end - at]);
        if let Ok(after) = unpack(&damaged) {
            prop_assert_eq!(after, unpack(&artifact).unwrap());
        }
    }
}

/// A small Artifact of any compression, signed or not, ours or mender-artifact's.
fn sample() -> impl Strategy<Value = Vec<u8>> {
    let ours = (compressions(), any::<bool>()).prop_map(|(compression, signed)| {
        let mut builder = Builder::module_image("module", "sample")
            .device_type("d")
            .script("ArtifactInstall_Enter_00", "#!/bin/sh\n")
            .file_bytes("a", vec![7; 3000])
            .file_bytes("b", "content")
            .compression(compression);
        if signed {
            builder = builder.sign_with(keys::signing(keys::P256));
        }
        builder.to_vec().unwrap()
    });
    let theirs = vec![
        corpus::ROOTFS_NONE,
        corpus::ROOTFS_GZIP_RSA,
        corpus::MODULE_GZIP_P256,
        corpus::BOOTSTRAP_GZIP,
    ];
    prop_oneof![ours, sample::select(theirs).prop_map(<[u8]>::to_vec)]
}
