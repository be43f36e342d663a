//! Text search: which words of a device are indexed, and what a query looks for.

use std::collections::BTreeSet;

/// The most words of one device's identity data that are indexed: anybody can send one.
pub(super) const MAX_IDENTITY_WORDS: usize = 64;
/// The most words of its inventory and tags. A device with more is found by these.
pub(super) const MAX_REPORTED_WORDS: usize = 448;
/// The most words of one query; the rest is ignored.
const MAX_QUERY_WORDS: usize = 16;
/// The longest word, in bytes; longer ones are indexed and sought by their beginning.
const MAX_WORD_BYTES: usize = 64;

/// The words of a text, in lower case: runs of letters, digits and what holds addresses,
/// versions and names together (`.`, `:`, `-`, `_`), without such marks at their ends.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !is_joint(c))
        .map(|word| word.trim_matches(is_joint))
        .filter(|word| !word.is_empty())
        .map(|word| shorten(&word.to_lowercase()).to_owned())
}

fn is_joint(c: char) -> bool {
    matches!(c, '.' | ':' | '-' | '_')
}

fn shorten(word: &str) -> &str {
    &word[..word.floor_char_boundary(MAX_WORD_BYTES)]
}

/// The distinct words of a query. A device matches when one of its words begins with one of
/// them.
pub(crate) fn query_words(text: &str) -> Vec<String> {
    let distinct: BTreeSet<_> = words(text).take(MAX_QUERY_WORDS).collect();
    distinct.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn addresses_and_versions_stay_whole() {
        assert_eq!(
            of("eth0: AA:BB:cc, v1.2.3-rc1 (final)."),
            ["eth0", "aa:bb:cc", "v1.2.3-rc1", "final"]
        );
        assert_eq!(of("  --- "), Vec::<String>::new());
        assert_eq!(of("Größe"), ["größe"]);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let word = "ä".repeat(100);
        assert_eq!(of(&word), ["ä".repeat(MAX_WORD_BYTES / 2)]);
        assert_eq!(of(&format!("x{word}"))[0].len(), MAX_WORD_BYTES - 1);
    }

    #[test]
    fn a_query_has_each_word_once_and_not_too_many() {
        assert_eq!(query_words("b a B a"), ["a", "b"]);
        let many: Vec<_> = (0..100).map(|n| format!("w{n}")).collect();
        assert_eq!(query_words(&many.join(" ")).len(), MAX_QUERY_WORDS);
    }
}
