//! The updates that are cut.

use crate::machine::{Call, ControlPoint, Status};

/// What the device installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A whole system, on the partition that does not run.
    System,
    /// A file that is replaced, and can be put back.
    File,
    /// A file that is replaced for good.
    FileForGood,
}

/// What the new system is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Image {
    Good,
    /// It does not boot; the bootloader gives up on it.
    Dead,
    /// It boots, but cannot talk to the server.
    Mute,
}

/// Who wants the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Deploy,
    /// By hand, then kept.
    InstallAndCommit,
    /// By hand, then taken back.
    InstallAndRollBack,
}

/// The server holds the update at a point, by a control map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Never,
    /// Until it has heard of the pause.
    ForAWhile(ControlPoint),
    /// Until the map expires: the server cannot be asked again.
    Abandoned(ControlPoint),
}

/// How an update may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The new software, committed.
    New,
    /// The previous software.
    Old,
    /// Changed by an update that failed and cannot be undone, and the records say so.
    Inconsistent,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) wish: Wish,
    pub(super) payload: Payload,
    pub(super) image: Image,
    /// The module's calls that always fail.
    pub(super) fails: &'static [Call],
    /// From this report on the server answers that it has aborted the deployment.
    pub(super) abort_at: Option<Status>,
    /// The answer to the first report of each status is lost on the way.
    pub(super) loses_answers: bool,
    /// The server hears how the update ended only long after the client has given up telling it.
    pub(super) hears_late: bool,
    pub(super) held: Held,
    /// The data partition has no room for another file.
    pub(super) is_disk_full: bool,
    /// How it ends if nobody cuts it.
    pub(super) end: End,
    /// How else it may end.
    pub(super) other_ends: &'static [End],
}

const GOOD: Scenario = Scenario {
    name: "a system",
    wish: Wish::Deploy,
    payload: Payload::System,
    image: Image::Good,
    fails: &[],
    abort_at: None,
    loses_answers: false,
    hears_late: false,
    held: Held::Never,
    is_disk_full: false,
    end: End::New,
    other_ends: &[End::Old],
};

const FILE: Scenario = Scenario { name: "a file", payload: Payload::File, ..GOOD };

const FOR_GOOD: Scenario = Scenario {
    name: "a file for good",
    payload: Payload::FileForGood,
    other_ends: &[End::Old, End::Inconsistent],
    ..GOOD
};

/// What is installed after every scenario, to see that it can be.
pub(super) const NEXT: Scenario = GOOD;

pub(super) const SCENARIOS: &[Scenario] = &[
    GOOD,
    FILE,
    FOR_GOOD,
    Scenario { name: "answers are lost", loses_answers: true, ..GOOD },
    Scenario { name: "a full disk", is_disk_full: true, ..GOOD },
    Scenario { name: "a server that hears late", hears_late: true, ..FILE },
    Scenario {
        name: "a server that hears late of a failure",
        hears_late: true,
        fails: &[Call::ArtifactInstall],
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "held before the installation",
        held: Held::ForAWhile(ControlPoint::Install),
        ..FILE
    },
    Scenario {
        name: "held before the reboot",
        held: Held::ForAWhile(ControlPoint::Reboot),
        ..GOOD
    },
    Scenario {
        name: "held before the commit",
        held: Held::ForAWhile(ControlPoint::Commit),
        ..FILE
    },
    Scenario {
        name: "held before the installation until the map expires",
        held: Held::Abandoned(ControlPoint::Install),
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "held before the commit until the map expires",
        held: Held::Abandoned(ControlPoint::Commit),
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "the installation fails",
        fails: &[Call::ArtifactInstall],
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "the installation of a file fails",
        fails: &[Call::ArtifactInstall],
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "the installation of a file fails for good",
        fails: &[Call::ArtifactInstall],
        end: End::Inconsistent,
        other_ends: &[End::Old],
        ..FOR_GOOD
    },
    Scenario {
        name: "a system that does not boot",
        image: Image::Dead,
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "a system that cannot reach the server",
        image: Image::Mute,
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "the verification fails",
        fails: &[Call::ArtifactVerifyReboot],
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "the commit fails",
        fails: &[Call::ArtifactCommit],
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "the commit of a file fails",
        fails: &[Call::ArtifactCommit],
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "installation and rollback fail",
        fails: &[Call::ArtifactVerifyReboot, Call::ArtifactRollback],
        end: End::Inconsistent,
        other_ends: &[End::Old],
        ..GOOD
    },
    Scenario {
        name: "aborted while downloading",
        abort_at: Some(Status::Downloading),
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "aborted while installing",
        abort_at: Some(Status::Installing),
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "aborted before the reboot",
        abort_at: Some(Status::Rebooting),
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario { name: "a system by hand", wish: Wish::InstallAndCommit, ..GOOD },
    Scenario { name: "a file by hand", wish: Wish::InstallAndCommit, ..FILE },
    Scenario { name: "a file by hand, for good", wish: Wish::InstallAndCommit, ..FOR_GOOD },
    Scenario {
        name: "a system by hand, taken back",
        wish: Wish::InstallAndRollBack,
        end: End::Old,
        other_ends: &[],
        ..GOOD
    },
    Scenario {
        name: "a file by hand, taken back",
        wish: Wish::InstallAndRollBack,
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "a file by hand whose installation fails",
        wish: Wish::InstallAndCommit,
        fails: &[Call::ArtifactInstall],
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "a file by hand whose installation fails for good",
        wish: Wish::InstallAndCommit,
        fails: &[Call::ArtifactInstall],
        end: End::Inconsistent,
        other_ends: &[End::Old],
        ..FOR_GOOD
    },
];
