//! Names of static groups.

/// The longest name of a group that devices join (server API, common HTTP rules).
const MAX_BYTES: usize = 256;
/// The longest name that leaving and asking accept: groups of older servers may be longer.
const MAX_BYTES_REMOVING: usize = 1024;

/// A group's name: letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// A text that names no group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group names have 1 to {max} letters, digits, - and _")]
pub struct InvalidGroupName {
    max: usize,
}

impl GroupName {
    /// The name of a group that devices are to join.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidGroupName> {
        Self::bounded(text.into(), MAX_BYTES)
    }

    /// The name of a group that may exist.
    pub fn existing(text: impl Into<String>) -> Result<Self, InvalidGroupName> {
        Self::bounded(text.into(), MAX_BYTES_REMOVING)
    }

    fn bounded(text: String, max: usize) -> Result<Self, InvalidGroupName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > max || !text.bytes().all(allowed) {
            return Err(InvalidGroupName { max });
        }
        Ok(Self(text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words() {
        for good in ["a", "Prod-1_x", &"g".repeat(256)] {
            assert!(GroupName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a/b", &"g".repeat(257)] {
            assert!(GroupName::new(bad).is_err(), "{bad}");
        }
        assert!(GroupName::existing("g".repeat(1024)).is_ok());
        assert!(GroupName::existing("g".repeat(1025)).is_err());
    }
}
