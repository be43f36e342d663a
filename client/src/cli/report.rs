//! What an operator is told about an update by hand. The sentences are those of Mender's client;
//! scripts compare them.

use rota_client::machine::{Health, Milestone, RebootNeed, Stage, StopPoint, Update};

/// What a command has come to, in the order in which it happened.
pub(super) fn lines(update: &Update, stopped_before: Option<StopPoint>) -> Vec<&'static str> {
    let has = |milestone| update.milestones.contains(&milestone);
    let mut lines = Vec::new();
    let mut add = |when: bool, line| {
        if when {
            lines.push(line);
        }
    };
    let waits_for_commit = stopped_before == Some(StopPoint::CommitEnter);
    let is_committed = has(Milestone::Committed) && !has(Milestone::CommittingFailed);
    let is_first_step = !has(Milestone::Installed) && !has(Milestone::InstallationFailed);

    add(has(Milestone::StreamingFailed), "Streaming failed.");
    add(has(Milestone::StreamingFailed), "System not modified.");
    add(
        stopped_before == Some(StopPoint::InstallEnter) && is_first_step,
        "Streamed to storage, but not installed/enabled.",
    );
    add(has(Milestone::EmptyPayload), "Artifact with empty payload. Committing immediately.");
    add(
        has(Milestone::CommittedAtOnce) && !waits_for_commit,
        "Update Module doesn't support rollback. Committing immediately.",
    );
    add(has(Milestone::InstallationFailed), "Installation failed.");
    add(waits_for_commit, "Installed, but not committed.");
    add(waits_for_commit, "Use 'commit' to update, or 'rollback' to roll back the update.");
    let in_one_go = has(Milestone::Installed) || has(Milestone::EmptyPayload);
    add(is_committed && in_one_go, "Installed and committed.");
    add(is_committed && !in_one_go, "Committed.");
    add(has(Milestone::CommittingFailed), "Committing failed.");
    add(
        has(Milestone::CommittingFailed) && update.committed,
        "System may be in an inconsistent state.",
    );
    // A command after the one that went back says so again.
    let was_back = update.health == Health::RolledBack
        && update.stage != Stage::Rollback
        && !has(Milestone::StreamingFailed);
    let is_back = has(Milestone::RolledBack) || was_back;
    add(is_back && !has(Milestone::RollbackFailed) && !has(Milestone::NoRollback), "Rolled back.");
    add(has(Milestone::RollbackFailed), "Rollback failed. System may be in an inconsistent state.");
    add(
        has(Milestone::NoRollback),
        "Update Module does not support rollback. System may be in an inconsistent state.",
    );
    add(has(Milestone::CleanupFailed), "Cleanup failed.");
    let is_good = !update.health.is_failure();
    add(is_good && update.milestones == [Milestone::CleanedUp], "Cleaned up.");
    add(wants_reboot(update), "At least one payload requested a reboot of the device it updated.");
    lines
}

/// Whether what the command did only takes effect with a reboot.
pub(super) fn wants_reboot(update: &Update) -> bool {
    let is_changed = update.milestones.contains(&Milestone::Installed)
        || update.milestones.contains(&Milestone::RolledBack);
    let has_failed = update.milestones.iter().copied().any(Milestone::is_failure);
    update.reboot != RebootNeed::No && is_changed && !has_failed
}
