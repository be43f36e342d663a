//! The patterns of `clears_artifact_provides`.

use std::fmt;

/// A pattern over provides keys: `*` stands for any run of characters, the empty one included;
/// `\` takes the next character literally; both ends are anchored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvidesGlob(Vec<Token>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    Literal(char),
}

/// A pattern that ends in the middle of an escape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {0:?} ends with a backslash")]
pub struct InvalidGlob(String);

impl ProvidesGlob {
    /// Reads a pattern.
    pub fn new(pattern: &str) -> Result<Self, InvalidGlob> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Any,
                '\\' => {
                    Token::Literal(chars.next().ok_or_else(|| InvalidGlob(pattern.to_owned()))?)
                }
                literal => Token::Literal(literal),
            });
        }
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        Ok(Self(tokens))
    }

    /// Whether the whole of `key` fits the pattern; takes at most pattern × key steps.
    pub fn matches(&self, key: &str) -> bool {
        let key: Vec<char> = key.chars().collect();
        let (mut at, mut token) = (0, 0);
        // Where to go on when the run that the last `*` stands for must be one longer.
        let mut retry: Option<(usize, usize)> = None;
        while at < key.len() {
            match self.0.get(token) {
                Some(Token::Any) => {
                    retry = Some((at, token + 1));
                    token += 1;
                }
                Some(Token::Literal(c)) if *c == key[at] => {
                    at += 1;
                    token += 1;
                }
                _ => match &mut retry {
                    Some((from, after)) => {
                        *from += 1;
                        (at, token) = (*from, *after);
                    }
                    None => return false,
                },
            }
        }
        self.0[token..].iter().all(|token| *token == Token::Any)
    }
}

impl fmt::Display for ProvidesGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|token| match token {
            Token::Any => f.write_str("*"),
            Token::Literal(c @ ('*' | '\\')) => write!(f, "\\{c}"),
            Token::Literal(c) => write!(f, "{c}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_keys() {
        for (pattern, key, expected) in [
            ("rootfs-image.*", "rootfs-image.version", true),
            ("rootfs-image.*", "rootfs-image.", true),
            ("rootfs-image.*", "rootfs-image", false),
            ("*", "", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("a", "abca", false),
            ("*abcd", "ab", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"\\", r"\", true),
            ("**", "x", true),
        ] {
            let glob = ProvidesGlob::new(pattern).unwrap();
            assert_eq!(glob.matches(key), expected, "{pattern} against {key}");
        }
    }

    #[test]
    fn a_trailing_backslash_is_refused() {
        assert_eq!(ProvidesGlob::new(r"a\"), Err(InvalidGlob(r"a\".into())));
    }

    #[test]
    fn printing_gives_the_pattern_back() {
        for pattern in ["rootfs-image.*", r"a\*b\\c*"] {
            assert_eq!(ProvidesGlob::new(pattern).unwrap().to_string(), pattern);
        }
    }
}
