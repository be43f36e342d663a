//! What an update asks of modules and scripts, step by step, and which of it came to pass.

use std::collections::HashSet;

use crate::machine::{Call, ScriptPoint, ScriptState};

/// One thing that can succeed or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The Artifact is opened and fits.
    Open,
    /// The payload is taken in.
    Store,
    Module(Call),
    /// `NeedsArtifactReboot`.
    NeedsReboot,
    /// `SupportsRollback`.
    SupportsRollback,
    /// The version of the root file system's scripts is a known one.
    CheckScripts,
    Script(ScriptState, ScriptPoint),
}

const CALLS: [Call; 9] = [
    Call::ArtifactInstall,
    Call::ArtifactReboot,
    Call::ArtifactVerifyReboot,
    Call::ArtifactCommit,
    Call::ArtifactRollback,
    Call::ArtifactRollbackReboot,
    Call::ArtifactVerifyRollbackReboot,
    Call::ArtifactFailure,
    Call::Cleanup,
];

/// The states of an update, and whether they have error scripts (client contract: a rollback and a
/// failure are what an error leads to).
const STATES: [(ScriptState, bool); 7] = [
    (ScriptState::Download, true),
    (ScriptState::ArtifactInstall, true),
    (ScriptState::ArtifactReboot, true),
    (ScriptState::ArtifactCommit, true),
    (ScriptState::ArtifactRollback, false),
    (ScriptState::ArtifactRollbackReboot, true),
    (ScriptState::ArtifactFailure, false),
];

/// Steps, and whether they succeeded.
pub(super) type Taken = HashSet<(Step, bool)>;

/// Whatever no update went through: each step must have succeeded, and have failed. What an error
/// script comes to changes nothing, so it only has to have run.
pub(super) fn missing(taken: &Taken) -> Vec<(Step, bool)> {
    let mut wanted = vec![Step::Open, Step::Store, Step::NeedsReboot];
    wanted.extend([Step::SupportsRollback, Step::CheckScripts]);
    wanted.extend(CALLS.map(Step::Module));
    let of = |point| STATES.into_iter().map(move |(state, _)| Step::Script(state, point));
    wanted.extend(of(ScriptPoint::Enter).chain(of(ScriptPoint::Leave)));
    let both = wanted.into_iter().flat_map(|step| [(step, true), (step, false)]);
    let errors = STATES.into_iter().filter(|(_, has_error)| *has_error);
    let errors = errors.map(|(state, _)| (Step::Script(state, ScriptPoint::Error), true));
    both.chain(errors).filter(|step| !taken.contains(step)).collect()
}
