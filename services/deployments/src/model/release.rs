//! A release: the Artifacts of one name, with what people wrote about them.

use chrono::{DateTime, Utc};

use super::artifact::{Artifact, Direction};

/// The most tags a release has (server API, releases).
const MAX_TAGS: usize = 20;

/// The longest tag, in characters.
const MAX_TAG: usize = 1024;

/// The longest notes, in characters.
const MAX_NOTES: usize = 1024;

/// The most different tags a tenant has.
pub(crate) const MAX_TENANT_TAGS: i64 = 100;

/// The Artifacts of one name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Release {
    pub(crate) name: String,
    /// When its newest Artifact last changed.
    pub(crate) modified: DateTime<Utc>,
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) tags: Vec<String>,
    pub(crate) notes: String,
}

/// By what a list of releases is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReleaseOrder {
    Name,
    Modified,
    ArtifactsCount,
    Tags,
}

/// Which releases a list shows.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseFilter {
    /// Part of the name, whatever the case; empty: any.
    pub(crate) name: String,
    /// Releases with any of these tags; all, when empty.
    pub(crate) tags: Vec<String>,
    /// The payload type of one of the Artifacts; empty: any.
    pub(crate) update_type: String,
    /// Part of the description of one of the Artifacts; empty: any.
    pub(crate) description: String,
    /// A device type of one of the Artifacts; empty: any.
    pub(crate) device_type: String,
    pub(crate) order: ReleaseOrder,
    pub(crate) direction: Direction,
}

/// Words about a release that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRelease {
    #[error("a release can have at most {MAX_TAGS} tags")]
    TooManyTags,
    #[error("tag {0:?} must be 1 to {MAX_TAG} characters out of A-Z, a-z, 0-9, -, _ and .")]
    Tag(String),
    #[error("notes must be at most {MAX_NOTES} printable characters long")]
    Notes,
}

/// Tags as they are stored: lower case, each once, in the order given.
pub(crate) fn normalise_tags(tags: &[String]) -> Result<Vec<String>, InvalidRelease> {
    let mut stored: Vec<String> = Vec::new();
    for tag in tags {
        let fits = (1..=MAX_TAG).contains(&tag.len())
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !fits {
            return Err(InvalidRelease::Tag(tag.chars().take(64).collect()));
        }
        let tag = tag.to_ascii_lowercase();
        if !stored.contains(&tag) {
            if stored.len() == MAX_TAGS {
                return Err(InvalidRelease::TooManyTags);
            }
            stored.push(tag);
        }
    }
    Ok(stored)
}

/// Whether `notes` can be stored: printable, and line breaks and tabs.
pub(crate) fn check_notes(notes: &str) -> Result<(), InvalidRelease> {
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if notes.chars().count() <= MAX_NOTES && notes.chars().all(printable) {
        Ok(())
    } else {
        Err(InvalidRelease::Notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn tags_are_lower_case_and_each_once() {
        assert_eq!(normalise_tags(&tags(&["A", "a", "b.c-d_e"])), Ok(tags(&["a", "b.c-d_e"])));
        assert_eq!(normalise_tags(&[]), Ok(vec![]));
    }

    #[test]
    fn twenty_tags_are_enough() {
        let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
        assert!(normalise_tags(&many[..20]).is_ok());
        assert_eq!(normalise_tags(&many), Err(InvalidRelease::TooManyTags));
    }

    #[test]
    fn other_characters_are_refused() {
        for tag in ["", "a b", "ä", &"x".repeat(1025)] {
            assert!(
                matches!(normalise_tags(&tags(&[tag])), Err(InvalidRelease::Tag(_))),
                "{tag:?}"
            );
        }
    }

    #[test]
    fn notes_are_printable_and_short() {
        assert_eq!(check_notes("fixes\n- ünïcode\t1"), Ok(()));
        assert_eq!(check_notes(&"ü".repeat(1024)), Ok(()));
        assert_eq!(check_notes(&"x".repeat(1025)), Err(InvalidRelease::Notes));
        assert_eq!(check_notes("a\u{0}"), Err(InvalidRelease::Notes));
    }
}
