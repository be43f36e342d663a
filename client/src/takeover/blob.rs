//! Reads the flat file of pairs that Mender's client keeps where it is built without LMDB: length
//! (`u32` in the byte order of the machine) and bytes of a key, the same of its value, and so on.

use std::collections::BTreeMap;

/// All pairs; `None` if the bytes are no such file.
pub(super) fn pairs(bytes: &[u8]) -> Option<BTreeMap<String, Vec<u8>>> {
    let mut pairs = BTreeMap::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = std::str::from_utf8(take(&mut rest)?).ok().filter(|key| !key.is_empty())?;
        pairs.insert(key.to_owned(), take(&mut rest)?.to_owned());
    }
    Some(pairs)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let (bytes, behind) = behind.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
    *rest = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(bytes: &mut Vec<u8>, text: &[u8]) {
        bytes.extend(u32::try_from(text.len()).unwrap().to_ne_bytes());
        bytes.extend(text);
    }

    #[test]
    fn pairs_follow_each_other_to_the_end_of_the_file() {
        let mut bytes = Vec::new();
        for text in [&b"artifact-name"[..], b"release-1", b"artifact-group", b""] {
            put(&mut bytes, text);
        }
        let expected = [("artifact-name", b"release-1".to_vec()), ("artifact-group", Vec::new())];
        let expected = expected.map(|(key, value)| (key.to_owned(), value));
        assert_eq!(pairs(&bytes), Some(BTreeMap::from(expected)));
        assert_eq!(pairs(b""), Some(BTreeMap::new()));
        for end in [2, 6, bytes.len() - 2] {
            assert_eq!(pairs(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(pairs(&[0xFF; 64]), None);
    }
}
