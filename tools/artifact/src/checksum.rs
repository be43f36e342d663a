//! SHA-256 sums, the only digest the format knows.

use std::{fmt, str::FromStr};

use ring::digest;
use serde::{Deserialize, Serialize};

/// A SHA-256 sum; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// The sum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The 32 bytes of the sum.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({self})")
    }
}

/// Why a text is not a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 sum is 64 lower-case hexadecimal digits")]
pub struct InvalidChecksum;

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: &[u8; 64] = text.as_bytes().try_into().map_err(|_| InvalidChecksum)?;
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(sum))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidChecksum> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(InvalidChecksum),
    }
}

impl TryFrom<String> for Checksum {
    type Error = InvalidChecksum;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(sum: Checksum) -> Self {
        sum.to_string()
    }
}

/// A sum in the making.
pub(crate) struct Hasher(digest::Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Checksum {
        let digest = self.0.finish();
        Checksum(digest.as_ref().try_into().expect("SHA-256 is 32 bytes long"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_upper_case_is_refused() {
        let sum = Checksum::of(b"hello\n");
        let text = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(sum.to_string(), text);
        assert_eq!(text.parse(), Ok(sum));
        assert_eq!(text.to_uppercase().parse::<Checksum>(), Err(InvalidChecksum));
        assert_eq!(text[1..].parse::<Checksum>(), Err(InvalidChecksum));
    }
}
