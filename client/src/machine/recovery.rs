//! Where an interrupted update goes on after a power cut or a restart.

use super::{
    FailedPart, Health, Journal, MAX_SAVES, Phase, RebootNeed, Stage, Transition, Update, route,
};

/// Reading the journal back counts as much as writing it twice, so that a device which loses power
/// again and again at the same point gives up in the end.
const SAVES_PER_RESTART: u32 = 2;

/// Takes up the deployment that the journal holds.
///
/// A cut while something was being changed leads to the rollback check; a cut in a reboot is that
/// reboot; whatever may run twice runs again.
pub fn recover(mut update: Update) -> Transition {
    update.is_resumed = true;
    update.saves = update.saves.saturating_add(match update.stage {
        // The software is the old one, which may restart as often as it likes.
        Stage::PauseInstall => 0,
        // New software that restarts again and again is no better for having to wait.
        Stage::PauseReboot | Stage::PauseCommit => 1,
        _ => SAVES_PER_RESTART,
    });
    if update.saves > MAX_SAVES {
        return route::enter_state_loop(update);
    }
    let phase = match update.stage {
        Stage::UpdateStore => {
            update.fail_untouched(FailedPart::Download);
            Phase::Cleanup
        }
        Stage::Reboot => Phase::VerifyReboot,
        Stage::RebootRefused => Phase::RebootError,
        Stage::PauseInstall => Phase::AskBeforeInstall,
        Stage::PauseReboot => Phase::AskBeforeReboot,
        Stage::PauseCommit if update.reboot == RebootNeed::No => Phase::AskBeforeCommit,
        Stage::PauseCommit => Phase::VerifyHeld,
        Stage::UpdateAfterCommit => Phase::CommitLeave,
        Stage::Rollback => Phase::RollbackEnter,
        Stage::RollbackReboot | Stage::AfterRollbackReboot => Phase::VerifyRollbackReboot,
        Stage::UpdateError => Phase::FailureEnter,
        Stage::Cleanup => Phase::Cleanup,
        Stage::UpdateInstall
        | Stage::AfterReboot
        | Stage::UpdateCommit
        | Stage::BeforeInstall
        | Stage::BeforeCommit
        | Stage::BeforeCommitLeave
        | Stage::Unknown => {
            let part = if update.stage == Stage::UpdateCommit {
                FailedPart::Commit
            } else {
                FailedPart::Install
            };
            if update.health == Health::Good {
                update.fail(part);
            }
            Phase::AskRollback
        }
    };
    let mut first = route::enter(phase, update);
    if first.journal == Journal::No {
        // Restarts count even where the first step is only a question.
        first.journal = Journal::Attempt;
    }
    first
}
