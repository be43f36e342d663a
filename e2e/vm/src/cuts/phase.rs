//! The phases of an update, as seen from outside.

use std::fmt;

use crate::machine::Writes;

/// What the client prints when it begins to download.
pub(super) const DOWNLOADING: &str = "status: downloading";
/// When the image is written and is about to be chosen.
pub(super) const INSTALLING: &str = "status: installing";
/// When it asks for the restart.
pub(super) const REBOOTING: &str = "status: rebooting";

/// What an update was doing when the power failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Before anything of the image was written.
    Download,
    /// While the image is written, which goes on as it comes in.
    Write,
    /// From the end of the image until the machine restarts: the boot loader is told.
    Switch,
    /// From the request until the new system starts.
    Reboot,
    /// From there on.
    Commit,
    /// The update had ended already.
    End,
}

impl Phase {
    /// Those that cuts aim at.
    pub(super) const TARGETS: [Self; 5] =
        [Self::Download, Self::Write, Self::Switch, Self::Reboot, Self::Commit];

    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Download, Self::Write, Self::Switch, Self::Reboot, Self::Commit, Self::End];

    /// By what the console has shown since the update began, and by what was written.
    pub(super) fn of(console: &str, new: &str, writes: Writes) -> Self {
        if console.contains(&format!("vm: system {new} on")) {
            Self::Commit
        } else if console.contains(REBOOTING) {
            Self::Reboot
        } else if console.contains(INSTALLING) {
            Self::Switch
        } else if writes.root > 0 {
            Self::Write
        } else {
            Self::Download
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Download => "download",
            Self::Write => "write",
            Self::Switch => "switch",
            Self::Reboot => "reboot",
            Self::Commit => "commit",
            Self::End => "after the end",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sign_counts() {
        let none = Writes::default();
        let some = Writes { root: 1, ..none };
        let of = |console: &str, writes| Phase::of(console, "two", writes);
        assert_eq!(of("", none), Phase::Download);
        assert_eq!(of("status: downloading\n", some), Phase::Write);
        assert_eq!(of("status: downloading\nstatus: installing\n", some), Phase::Switch);
        assert_eq!(of("status: installing\nstatus: rebooting\n", some), Phase::Reboot);
        let later = "status: rebooting\nvm: system two on partition 3\nstatus: installing\n";
        assert_eq!(of(later, some), Phase::Commit);
        assert_eq!(of("status: rebooting\nvm: system three on partition 3\n", some), Phase::Reboot);
    }
}
