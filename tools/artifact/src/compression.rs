//! The compressions an Artifact's inner archives may have, told apart by file name suffix.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How `header.tar` and `data/0000.tar` are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all; the only form that microcontroller clients accept.
    None,
    /// gzip: every Linux client accepts it.
    #[default]
    Gzip,
    /// xz (LZMA2): smallest, slow to write.
    Xz,
    /// Zstandard: unknown to mender-artifact before 3.10 and clients of that age.
    Zstd,
}

impl Compression {
    /// Every compression, in the order in which help texts list them.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Xz, Self::Zstd];

    /// What follows `.tar` in the member's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
            Self::Zstd => ".zst",
        }
    }

    /// The compression of a member called `<stem>.tar<suffix>`; `None` when the suffix is unknown.
    pub(crate) fn from_suffix(suffix: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.suffix() == suffix)
    }

    /// Whether this build can read it.
    pub(crate) fn is_built_in(self) -> bool {
        match self {
            Self::None | Self::Gzip => true,
            Self::Xz => cfg!(feature = "xz"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// A compression's name that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}; choose one of none, gzip, xz, zstd")]
pub struct UnknownCompression(String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    /// `lzma` is mender-artifact's name for xz.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "xz" | "lzma" => Ok(Self::Xz),
            "zstd" => Ok(Self::Zstd),
            other => Err(UnknownCompression(other.to_owned())),
        }
    }
}
