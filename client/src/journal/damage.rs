//! Copies of the journal that a failing medium has damaged, and what that means for the device.

use std::{collections::BTreeSet, fmt, io};

/// A file of the journal that reading passed over. Shown, it is a warning for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// With its folder.
    pub file: String,
    pub flaw: Flaw,
    pub loss: Loss,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It can be read, but its checksum is another, or it is no journal.
    Corrupt,
    /// The system's error.
    Unreadable(String),
}

/// What is lost with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A copy alone: the newest entry is in the file that is named.
    Spare(String),
    /// The newest entry; the one before it is in the file that is named.
    Newest(String),
    /// Everything: no other file holds an entry.
    All,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal file {} is passed over: ", self.file)?;
        match &self.flaw {
            Flaw::Corrupt => f.write_str("its checksum or format is wrong")?,
            Flaw::Unreadable(error) => write!(f, "it cannot be read ({error})")?,
        }
        f.write_str("; no power cut does that, so the medium may be failing; ")?;
        match &self.loss {
            Loss::Spare(newest) => {
                write!(f, "nothing is lost, as {newest} holds the newest entry")
            }
            Loss::Newest(before) => write!(
                f,
                "what was written last is lost, and the client goes on from the entry before it, \
                 in {before}"
            ),
            Loss::All => f.write_str(
                "no other file holds an entry, so the client no longer knows which software is \
                 installed, whether an update was under way, or what the server has not heard",
            ),
        }
    }
}

impl From<&io::Error> for Flaw {
    fn from(error: &io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// What of the damage is news: of each file it is once.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    files: BTreeSet<String>,
    untold: Vec<Damage>,
}

impl Noticed {
    pub(super) fn add(&mut self, damage: Damage) {
        if self.files.insert(damage.file.clone()) {
            self.untold.push(damage);
        }
    }

    pub(super) fn take(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.untold)
    }
}
