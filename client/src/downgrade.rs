//! `DowngradeProtection`: installed versions below which no Artifact leads.
//!
//! The configuration lists keys of provides that hold versions, such as `rootfs-image.version`. An
//! Artifact that sets or clears such a key must bring a version that is not lower than the
//! installed one; one that leaves the key alone is free. What is installed changes with a commit
//! and only then, so a rolled-back update raises nothing, and no note of our own is kept.
//!
//! Versions are compared piece by piece, as people read them: see [`compare`].

use std::cmp::Ordering;

use crate::{
    machine::{ArtifactInfo, SoftwareChange},
    records::Software,
};

/// An Artifact would take the device back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Artifact leads to {key} {}, but {installed} is installed, and DowngradeProtection forbids \
     to go back; an operator can install it with --allow-downgrade",
    offered.as_deref().unwrap_or("(none)")
)]
pub struct Downgrade {
    key: String,
    installed: String,
    offered: Option<String>,
}

/// Holds what an Artifact leads to against what is installed.
pub fn check(
    protected: &[String],
    artifact: &ArtifactInfo,
    installed: &Software,
) -> Result<(), Downgrade> {
    let mut after = installed.clone();
    after.change(artifact, SoftwareChange::Updated);
    for key in protected {
        let Some(before) = installed.provides.get(key) else { continue };
        let offered = after.provides.get(key);
        if offered.is_none_or(|offered| compare(offered, before).is_lt()) {
            return Err(Downgrade {
                key: key.clone(),
                installed: before.clone(),
                offered: offered.cloned(),
            });
        }
    }
    Ok(())
}

/// Compares two versions. Numbers count as numbers, letters as letters, a number more than letters;
/// what separates them is no matter. Of two that begin alike the longer one is higher, unless it
/// goes on with `-` or `~` and a letter, which marks what comes before a release: `1.2-rc1` is lower
/// than `1.2`, `1.2-1` and `1.2a` are higher. What follows a `+` says how it was built, and is
/// ignored. A leading `v` is, too.
pub fn compare(a: &str, b: &str) -> Ordering {
    pieces(a).cmp(pieces(b))
}

/// In ascending order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    /// Letters that make the version one before a release.
    Before(&'a str),
    End,
    Letters(&'a str),
    Number(Number<'a>),
}

/// Digits without leading zeros, of any length.
#[derive(Debug, PartialEq, Eq)]
struct Number<'a>(&'a str);

impl PartialOrd for Number<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(other.0))
    }
}

/// The pieces of a version, and then its end.
fn pieces(version: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = version.split('+').next().unwrap_or_default();
    if let Some(number) = rest.strip_prefix(['v', 'V'])
        && number.starts_with(|c: char| c.is_ascii_digit())
    {
        rest = number;
    }
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let start = rest.find(|c: char| c.is_alphanumeric()).unwrap_or(rest.len());
        let (separator, found) = rest.split_at(start);
        let is_digit = |c: char| c.is_ascii_digit();
        let is_number = found.starts_with(is_digit);
        let end = found
            .find(|c: char| !c.is_alphanumeric() || is_digit(c) != is_number)
            .unwrap_or(found.len());
        let (piece, after) = found.split_at(end);
        rest = after;
        is_over = piece.is_empty();
        Some(if is_over {
            Piece::End
        } else if is_number {
            Piece::Number(Number(piece.trim_start_matches('0')))
        } else if separator.ends_with(['-', '~']) {
            Piece::Before(piece)
        } else {
            Piece::Letters(piece)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_people_read_them() {
        let ascending = [
            "",
            "1.0-alpha",
            "1.0-alpha.1",
            "1.0-beta",
            "1.0-rc2",
            "1.0-rc10",
            "1.0",
            "1.0a",
            "1.0-1",
            "1.2",
            "1.9.9",
            "1.10",
            "2",
            "2.0",
            "2024-02-01",
            "2024-10-01",
            "99999999999999999999998",
            "99999999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        for (a, b) in [
            ("1.0", "v1.0"),
            ("1.0+a", "1.0+b"),
            ("1.01", "1.1"),
            ("1_0", "1.0"),
            ("1.0-1", "1.0.1"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_an_order(versions in prop::collection::vec("[0-9a-c.~+é-]{0,8}", 3)) {
            let [a, b, c] = [&versions[0], &versions[1], &versions[2]];
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }

    const KEY: &str = "rootfs-image.version";

    fn installed() -> Software {
        let provides = [(KEY, "1.3"), ("app.version", "1")];
        let provides = provides.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Software { provides: provides.into(), ..Software::default() }
    }

    fn leads(provides: Option<&str>, clears: Option<&[&str]>) -> Result<(), Downgrade> {
        let artifact = ArtifactInfo {
            provides: provides
                .map(|version| (KEY.to_owned(), version.to_owned()))
                .into_iter()
                .collect(),
            clears_provides: clears.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            ..ArtifactInfo::default()
        };
        check(&[KEY.to_owned(), "absent.version".to_owned()], &artifact, &installed())
    }

    #[test]
    fn a_protected_version_never_falls_nor_goes_away() {
        let all: &[&str] = &["rootfs-image.*"];
        for (provides, clears) in
            [(Some("1.4"), Some(all)), (Some("1.3"), None), (None, Some(&["app.*"][..]))]
        {
            assert_eq!(leads(provides, clears), Ok(()), "{provides:?} {clears:?}");
        }
        for (provides, clears) in
            [(Some("1.2.9"), Some(all)), (Some("1.3-rc1"), None), (None, Some(all)), (None, None)]
        {
            let refused = leads(provides, clears).unwrap_err();
            assert_eq!(refused.installed, "1.3", "{provides:?} {clears:?}");
        }
        let nothing = check(&[], &ArtifactInfo::default(), &installed());
        assert_eq!(nothing, Ok(()));
    }
}
