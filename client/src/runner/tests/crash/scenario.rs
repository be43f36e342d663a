//! The updates that are cut.

use super::steps::Step::{
    self, CheckScripts, Module, NeedsReboot, Open, Script, Store, SupportsRollback,
};
use crate::machine::{
    Call, ControlPoint,
    ScriptPoint::{Enter, Leave},
    ScriptState as S, Status, StopPoint,
};

/// What the device installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A whole system, on the partition that does not run.
    System,
    /// A file that is replaced, and can be put back.
    File,
    /// Likewise, of a service which its module restarts.
    Service,
    /// A file that is replaced for good.
    FileForGood,
    /// An Artifact without payload, which only says what is installed.
    Empty,
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
    /// What always fails.
    pub(super) fails: &'static [Step],
    /// Where commands by hand are told to stop.
    pub(super) stop_before: &'static [StopPoint],
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

impl Scenario {
    pub(super) fn fails(&self, step: Step) -> bool {
        self.fails.contains(&step)
    }
}

const GOOD: Scenario = Scenario {
    name: "a system",
    wish: Wish::Deploy,
    payload: Payload::System,
    image: Image::Good,
    fails: &[],
    stop_before: &[],
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

const SERVICE: Scenario = Scenario { name: "a service", payload: Payload::Service, ..GOOD };

/// An update of which something always fails. Cut before that, it ends with the old software.
const fn failing(
    name: &'static str,
    fails: &'static [Step],
    end: End,
    update: Scenario,
) -> Scenario {
    let other_ends: &[End] = match end {
        End::Old => &[],
        End::New | End::Inconsistent => &[End::Old],
    };
    Scenario { name, fails, end, other_ends, ..update }
}

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
        fails: &[Module(Call::ArtifactInstall)],
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
    failing("the installation fails", &[Module(Call::ArtifactInstall)], End::Old, GOOD),
    failing("the installation of a file fails", &[Module(Call::ArtifactInstall)], End::Old, FILE),
    failing(
        "the installation of a file fails for good",
        &[Module(Call::ArtifactInstall)],
        End::Inconsistent,
        FOR_GOOD,
    ),
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
    failing("the verification fails", &[Module(Call::ArtifactVerifyReboot)], End::Old, GOOD),
    failing("the commit fails", &[Module(Call::ArtifactCommit)], End::Old, GOOD),
    failing("the commit of a file fails", &[Module(Call::ArtifactCommit)], End::Old, FILE),
    failing(
        "installation and rollback fail",
        &[Module(Call::ArtifactVerifyReboot), Module(Call::ArtifactRollback)],
        End::Inconsistent,
        GOOD,
    ),
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
        fails: &[Module(Call::ArtifactInstall)],
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "a file by hand whose installation fails for good",
        wish: Wish::InstallAndCommit,
        fails: &[Module(Call::ArtifactInstall)],
        end: End::Inconsistent,
        other_ends: &[End::Old],
        ..FOR_GOOD
    },
    failing("a script fails before the download", &[Script(S::Download, Enter)], End::Old, GOOD),
    failing("the Artifact cannot be opened", &[Open], End::Old, GOOD),
    failing("the download breaks off", &[Store], End::Old, GOOD),
    failing("a script fails after the download", &[Script(S::Download, Leave)], End::Old, GOOD),
    failing(
        "a script fails before the installation",
        &[Script(S::ArtifactInstall, Enter)],
        End::Old,
        GOOD,
    ),
    failing(
        "a script fails after the installation",
        &[Script(S::ArtifactInstall, Leave)],
        End::Old,
        FILE,
    ),
    failing("nobody says whether to reboot", &[NeedsReboot], End::Inconsistent, GOOD),
    failing(
        "nobody says whether there is a way back",
        &[Module(Call::ArtifactInstall), SupportsRollback],
        End::Inconsistent,
        FILE,
    ),
    // A power cut is a reboot as well, which nothing keeps from taking place.
    Scenario {
        other_ends: &[End::New],
        ..failing(
            "a script fails before the reboot",
            &[Script(S::ArtifactReboot, Enter)],
            End::Old,
            GOOD,
        )
    },
    failing("a script fails after the reboot", &[Script(S::ArtifactReboot, Leave)], End::Old, GOOD),
    failing(
        "a script fails before the commit",
        &[Script(S::ArtifactCommit, Enter)],
        End::Old,
        FILE,
    ),
    failing("scripts of an unknown version", &[CheckScripts], End::Old, GOOD),
    failing(
        "a script fails after the commit",
        &[Script(S::ArtifactCommit, Leave)],
        End::Inconsistent,
        GOOD,
    ),
    failing(
        "a script fails before the rollback",
        &[Module(Call::ArtifactVerifyReboot), Script(S::ArtifactRollback, Enter)],
        End::Inconsistent,
        GOOD,
    ),
    failing(
        "a script fails after the rollback",
        &[Module(Call::ArtifactInstall), Script(S::ArtifactRollback, Leave)],
        End::Inconsistent,
        FILE,
    ),
    failing(
        "a script fails before the reboot back",
        &[Module(Call::ArtifactVerifyReboot), Script(S::ArtifactRollbackReboot, Enter)],
        End::Inconsistent,
        GOOD,
    ),
    failing(
        "a script fails after the reboot back",
        &[Module(Call::ArtifactVerifyReboot), Script(S::ArtifactRollbackReboot, Leave)],
        End::Inconsistent,
        GOOD,
    ),
    failing(
        "the old system is not recognised",
        &[Module(Call::ArtifactVerifyReboot), Module(Call::ArtifactVerifyRollbackReboot)],
        End::Inconsistent,
        GOOD,
    ),
    failing(
        "a script fails before a failure is told",
        &[Module(Call::ArtifactInstall), Script(S::ArtifactFailure, Enter)],
        End::Inconsistent,
        FILE,
    ),
    failing(
        "a failure cannot be told to the module",
        &[Module(Call::ArtifactInstall), Module(Call::ArtifactFailure)],
        End::Inconsistent,
        FILE,
    ),
    failing(
        "a script fails after a failure is told",
        &[Module(Call::ArtifactInstall), Script(S::ArtifactFailure, Leave)],
        End::Inconsistent,
        FILE,
    ),
    failing("the cleanup fails", &[Module(Call::Cleanup)], End::New, FILE),
    SERVICE,
    Scenario {
        other_ends: &[End::New],
        ..failing("a service does not restart", &[Module(Call::ArtifactReboot)], End::Old, SERVICE)
    },
    failing(
        "a service that restarts neither way",
        &[Module(Call::ArtifactVerifyReboot), Module(Call::ArtifactRollbackReboot)],
        End::Old,
        SERVICE,
    ),
    Scenario { name: "nothing but a name", payload: Payload::Empty, ..GOOD },
    Scenario {
        name: "a file by hand, step by step",
        wish: Wish::InstallAndCommit,
        stop_before: &StopPoint::ALL,
        ..FILE
    },
    Scenario {
        name: "a file by hand, taken back step by step",
        wish: Wish::InstallAndRollBack,
        stop_before: &StopPoint::ALL,
        end: End::Old,
        other_ends: &[],
        ..FILE
    },
    Scenario {
        name: "a system by hand, step by step",
        wish: Wish::InstallAndCommit,
        stop_before: &StopPoint::ALL,
        ..GOOD
    },
];
