//! The reader against LMDB itself, and against files of which any byte may be wrong.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{super::lmdb::*, load};

/// As 32-bit x86's `mdb_load` 0.9.24 writes it: three of a client's pairs, and `big` of 5008 bytes.
const OF_32_BITS: &[u8] = include_bytes!("../testdata/lmdb-32-bit");

type Pairs = BTreeMap<String, Vec<u8>>;

fn written(commits: &[Pairs]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mender-store");
    for pairs in commits {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_slice())).collect();
        load(&path, &pairs);
    }
    std::fs::read(path).unwrap()
}

fn any_pairs(count: usize) -> impl Strategy<Value = Pairs> {
    let value = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..60),
        // Beyond a quarter of a page, a value gets pages of its own.
        1 => prop::collection::vec(any::<u8>(), 900..9_000),
    ];
    prop::collection::btree_map("[a-z-]{1,40}", value, 1..count)
}

/// Several levels of pages, big values, and pages that were freed and used again.
fn sample() -> Vec<u8> {
    let commit = |salt: u8| -> Pairs {
        let pair = |n: usize| (format!("key-{n:05}"), vec![salt; 20 + n % 30]);
        (0..2_000).map(pair).chain([("big".to_owned(), vec![salt; 10_000])]).collect()
    };
    written(&[commit(1), commit(2), commit(3)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn what_lmdb_wrote_is_read(commits in prop::collection::vec(any_pairs(120), 1..4)) {
        let expected: Pairs = commits.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        prop_assert_eq!(pairs(&written(&commits)), Ok(expected));
    }
}

#[test]
fn trees_of_several_levels_are_read() {
    let found = pairs(&sample()).unwrap();
    assert_eq!(found.len(), 2_001);
    assert_eq!(found["key-01999"], vec![3; 20 + 1_999 % 30]);
    assert_eq!(found["big"], vec![3; 10_000]);
}

#[test]
fn a_file_of_the_other_word_size_is_read() {
    assert!(is_lmdb(OF_32_BITS));
    let found = pairs(OF_32_BITS).unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found["artifact-name"], b"release-7");
    assert_eq!(found["artifact-group"], b"blue");
    assert_eq!(found["artifact-provides"], br#"{"rootfs-image.version":"7"}"#);
    assert_eq!(found["big"].len(), 5_008);
}

/// A torn commit leaves the commit before: its meta page is the other one.
#[test]
fn a_damaged_newest_commit_leaves_the_one_before() {
    let pair = |value: &str| Pairs::from([("artifact-name".to_owned(), value.into())]);
    let mut bytes = written(&[pair("one"), pair("two")]);
    let newest = [0, 4096].into_iter().max_by_key(|page| {
        let commit = page + 16 + 8 + 16 + 2 * 48 + 8;
        u64::from_ne_bytes(bytes[commit..commit + 8].try_into().unwrap())
    });
    bytes[newest.unwrap() + 16] ^= 1;
    match newest {
        // Where there is no first page, nobody knows how long pages are.
        Some(0) => assert_eq!(pairs(&bytes), Err(Damage::Version)),
        _ => assert_eq!(pairs(&bytes), Ok(pair("one"))),
    }
}

#[test]
fn pages_that_go_in_circles_are_refused() {
    let mut bytes = sample();
    let root_at = |page: usize| page + 16 + 8 + 16 + 2 * 48 - 8;
    let root = u64::from_ne_bytes(bytes[root_at(0)..root_at(0) + 8].try_into().unwrap());
    // The root's first child is the root.
    let page = usize::try_from(root).unwrap() * 4096;
    let node = page + usize::from(u16::from_ne_bytes([bytes[page + 16], bytes[page + 17]]));
    bytes[node..node + 4].copy_from_slice(&u32::try_from(root).unwrap().to_le_bytes());
    // Both meta pages are the same.
    bytes.copy_within(0..4096, 4096);
    bytes[4096..4104].copy_from_slice(&1_u64.to_ne_bytes());
    assert_eq!(pairs(&bytes), Err(Damage::Circle));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// It ends, without a panic, and does not take more than the file has.
    #[test]
    fn damaged_files_are_an_answer(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
        is_of_32_bits in any::<bool>(),
    ) {
        thread_local!(static SAMPLE: Vec<u8> = sample());
        let mut bytes =
            if is_of_32_bits { OF_32_BITS.to_vec() } else { SAMPLE.with(Clone::clone) };
        for (place, byte) in damage {
            // Most bytes of a file are content; the structure is at the start of pages.
            let at = place.index(bytes.len());
            let at = if byte % 2 == 0 { at } else { at / 4096 * 4096 + at % 64 };
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        if let Ok(pairs) = pairs(&bytes) {
            let taken: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
            prop_assert!(taken <= bytes.len());
        }
    }

    #[test]
    fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(pairs(&bytes).is_err());
    }
}
