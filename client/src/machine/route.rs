//! The routes of an update: from each point, by outcome, to the next.

use super::{
    Event, FailedPart, Health, Journal, MAX_SAVES, Milestone, Owed, Phase, RebootNeed, State,
    StopPoint, SyncPhase, Transition, Update, standalone, sync,
};

pub(super) fn enter(phase: Phase, mut update: Update) -> Transition {
    let phase = standalone::stop_at(phase, &mut update);
    let journal = match phase.journal(&update) {
        None => Journal::No,
        Some((stage, journal)) => {
            // To wait is not to go in circles.
            update.saves = update.saves.saturating_add(u32::from(!stage.is_pause()));
            if update.saves > MAX_SAVES && !update.is_standalone() {
                return enter_state_loop(update);
            }
            update.stage = stage;
            update.is_unsaved = false;
            journal
        }
    };
    let action = phase.action(&update);
    Transition { state: State::Update { phase, update: Box::new(update) }, journal, action }
}

pub(super) fn enter_state_loop(mut update: Update) -> Transition {
    update.health = Health::RollbackFailed;
    enter(Phase::StateLoop, update)
}

pub(super) fn step(phase: Phase, mut update: Update, event: Event) -> Transition {
    use FailedPart::{Commit, Install};
    use Phase as P;

    let done = event == Event::Done;
    let next = match phase {
        P::ReportDownloading
        | P::DownloadEnter
        | P::OpenArtifact
        | P::StorePayload
        | P::DownloadLeave
        | P::DownloadError
        | P::AskBeforeInstall
        | P::PauseBeforeInstall
        | P::HoldBeforeInstall
        | P::ReportInstalling => download(phase, &mut update, event),

        P::InstallEnter if done => P::Install,
        P::Install if done => P::InstallLeave,
        P::InstallLeave if done => P::AskReboot,
        P::InstallEnter | P::Install | P::InstallLeave => P::InstallError,
        P::InstallError => failed(&mut update, Install, P::AskRollback),

        P::AskReboot
        | P::AskBeforeReboot
        | P::PauseBeforeReboot
        | P::HoldBeforeReboot
        | P::ReportRebooting
        | P::RebootEnter
        | P::Reboot
        | P::VerifyReboot
        | P::RebootLeave
        | P::RebootError => rebooting(phase, &mut update, event),

        P::DropToken => P::AskBeforeCommit,
        P::VerifyHeld if done => P::AskBeforeCommit,
        P::VerifyHeld => P::RebootError,
        P::AskBeforeCommit | P::HoldBeforeCommit if done => P::ConfirmServer,
        P::AskBeforeCommit if event == Event::Held => P::PauseBeforeCommit,
        P::PauseBeforeCommit if event != Event::Aborted => P::HoldBeforeCommit,
        P::ConfirmServer if done => P::CommitEnter,
        P::CommitEnter if done => P::CheckScripts,
        P::CheckScripts if done => P::Commit,
        P::Commit if done => {
            update.committed = true;
            update.reach(Milestone::Committed);
            P::CommitLeave
        }
        P::CommitEnter | P::CheckScripts | P::Commit => P::CommitError,
        P::AskBeforeCommit
        | P::PauseBeforeCommit
        | P::HoldBeforeCommit
        | P::ConfirmServer
        | P::CommitError => failed(&mut update, Commit, P::AskRollback),
        P::CommitLeave if done => P::Record,
        P::CommitLeave if update.is_standalone() => failed(&mut update, Commit, P::Record),
        P::CommitLeave => P::CommitLeaveError,
        P::CommitLeaveError => failed(&mut update, Commit, P::Record),

        P::AskDecision | P::AskWayBack | P::StoppedBefore(_) => by_hand(phase, &mut update, &event),

        P::AskRollback
        | P::RollbackEnter
        | P::Rollback
        | P::RollbackLeave
        | P::RollbackLeaveFailed
        | P::AskRollbackReboot
        | P::RollbackRebootEnter
        | P::RollbackReboot
        | P::VerifyRollbackReboot
        | P::RollbackRebootLeave
        | P::RollbackRebootError => rolling_back(phase, &mut update, &event),

        P::FailureEnter => unless(done, &mut update, P::Failure),
        P::Failure => unless(done, &mut update, P::FailureLeave),
        P::FailureLeave => {
            let next = unless(done, &mut update, P::Cleanup);
            if update.health.is_inconsistent() { P::Record } else { next }
        }

        P::Record if update.is_empty() => unless(done, &mut update, P::ReportOutcome),
        P::Record if done => P::Cleanup,
        P::Record => P::CleanupUnrecorded,
        // What counts is that the device knows what it runs.
        P::CleanupUnrecorded => P::RecordAgain,
        P::RecordAgain => unless(done, &mut update, P::ReportOutcome),
        P::Cleanup if done => {
            update.reach(Milestone::CleanedUp);
            P::ReportOutcome
        }
        P::Cleanup => {
            update.failed_part.get_or_insert(FailedPart::Cleanup);
            update.reach(Milestone::CleanupFailed);
            if update.is_standalone() && update.artifact.is_some() {
                update.health = Health::RollbackFailed;
                P::RecordCleanupFailure
            } else {
                if update.health == Health::Good {
                    update.health = Health::Failed;
                }
                P::ReportOutcome
            }
        }
        P::StateLoop | P::RecordCleanupFailure => P::ReportOutcome,

        P::ReportOutcome | P::UploadLog => reporting(phase, update.health, &event),
        P::Forget(_) if update.is_standalone() => P::Finish,
        P::Forget(_) => return sync::enter(SyncPhase::IdleEnter),
        P::Finish => P::Finish,
    };
    // An operator sees the outcome.
    let next =
        if next == P::ReportOutcome && update.is_standalone() { P::Forget(None) } else { next };
    enter(next, update)
}

/// Up to here nothing on the device has changed: every failure leads straight to the cleanup.
fn download(phase: Phase, update: &mut Update, event: Event) -> Phase {
    use Phase as P;

    let done = event == Event::Done;
    match (phase, event) {
        (P::ReportDownloading | P::ReportInstalling, Event::Aborted) | (P::DownloadError, _) => {
            update.fail_untouched(FailedPart::Download);
            P::Cleanup
        }
        (P::ReportDownloading, _) => P::DownloadEnter,
        (P::AskBeforeInstall, Event::Held) => P::PauseBeforeInstall,
        (P::AskBeforeInstall | P::HoldBeforeInstall, Event::Done) => P::ReportInstalling,
        (P::PauseBeforeInstall, Event::Aborted)
        | (P::AskBeforeInstall | P::HoldBeforeInstall, _) => {
            update.fail_untouched(FailedPart::Install);
            P::Cleanup
        }
        (P::PauseBeforeInstall, _) => P::HoldBeforeInstall,
        (P::ReportInstalling, _) => P::InstallEnter,
        (P::OpenArtifact, Event::Opened(artifact)) => {
            update.artifact = Some(artifact);
            if update.is_standalone() { P::DownloadEnter } else { take_in(update) }
        }
        // The operator waits for the answer; nothing was done yet that scripts could react to.
        (P::OpenArtifact, _) if update.is_standalone() => {
            update.fail_untouched(FailedPart::Download);
            P::Cleanup
        }
        (P::DownloadEnter, _) if done && update.is_standalone() => take_in(update),
        (P::DownloadEnter, _) if done => P::OpenArtifact,
        (P::StorePayload, _) if done => P::DownloadLeave,
        (P::DownloadLeave, _) if done && update.is_empty() => {
            update.committed = true;
            update.reach(Milestone::EmptyPayload);
            update.reach(Milestone::Committed);
            P::Record
        }
        (P::DownloadLeave, _) if done && update.is_standalone() => {
            update.reach(Milestone::Streamed);
            P::InstallEnter
        }
        (P::DownloadLeave, _) if done => P::AskBeforeInstall,
        _ => P::DownloadError,
    }
}

fn take_in(update: &Update) -> Phase {
    if update.is_empty() { Phase::DownloadLeave } else { Phase::StorePayload }
}

/// From the installed update to the software that runs it. An operator reboots by hand, so a
/// standalone update only notes the module's wish.
fn rebooting(phase: Phase, update: &mut Update, event: Event) -> Phase {
    use Phase as P;

    let done = event == Event::Done;
    match (phase, event) {
        (P::AskReboot, Event::RebootNeed(need)) => {
            update.reboot = need;
            match need {
                _ if update.is_standalone() => {
                    update.reach(Milestone::Installed);
                    P::AskDecision
                }
                RebootNeed::No => P::DropToken,
                RebootNeed::Module | RebootNeed::System => P::AskBeforeReboot,
            }
        }
        (P::AskBeforeReboot, Event::Held) => P::PauseBeforeReboot,
        (P::AskBeforeReboot | P::HoldBeforeReboot, Event::Done) => P::ReportRebooting,
        (P::AskReboot | P::AskBeforeReboot | P::HoldBeforeReboot | P::RebootError, _)
        | (P::PauseBeforeReboot | P::ReportRebooting, Event::Aborted) => {
            failed(update, FailedPart::Install, P::AskRollback)
        }
        (P::PauseBeforeReboot, _) => P::HoldBeforeReboot,
        (P::ReportRebooting, _) => P::RebootEnter,
        (P::RebootEnter, _) if done => P::Reboot,
        (P::Reboot, _) if done => P::VerifyReboot,
        (P::VerifyReboot, _) if done => P::RebootLeave,
        (P::RebootLeave, _) if done => P::DropToken,
        _ => P::RebootError,
    }
}

/// Questions that only updates by hand have, and stops that could not be journaled.
fn by_hand(phase: Phase, update: &mut Update, event: &Event) -> Phase {
    use FailedPart::{Commit, Install};
    use Phase as P;

    match (phase, event) {
        (P::AskDecision, Event::SupportsRollback(answer)) => {
            update.supports_rollback = Some(*answer);
            if *answer {
                P::StoppedBefore(StopPoint::CommitEnter)
            } else {
                update.reach(Milestone::CommittedAtOnce);
                P::CommitEnter
            }
        }
        (P::AskDecision, _) => {
            let next = failed(update, Install, P::FailureEnter);
            update.reach(Milestone::NoRollback);
            next
        }
        (P::AskWayBack, Event::SupportsRollback(true)) => {
            update.supports_rollback = Some(true);
            update.health = Health::RolledBack;
            update.committed = false;
            P::RollbackEnter
        }
        // The update stays as it is: the operator can still keep it.
        (P::AskWayBack, _) => {
            update.reach(Milestone::NoRollback);
            P::Finish
        }
        (P::StoppedBefore(StopPoint::InstallEnter), _) => P::InstallError,
        (P::StoppedBefore(StopPoint::CommitEnter), _) => failed(update, Install, P::AskRollback),
        (P::StoppedBefore(StopPoint::CommitLeave), _) => failed(update, Commit, P::Record),
        _ => P::Finish,
    }
}

/// The way back never stops: a step that fails is remembered, and the next one is tried.
fn rolling_back(phase: Phase, update: &mut Update, event: &Event) -> Phase {
    use Phase as P;

    let done = *event == Event::Done;
    let next = match phase {
        P::AskRollback => {
            if let Event::SupportsRollback(answer) = event {
                update.supports_rollback = Some(*answer);
            }
            if *event == Event::SupportsRollback(true) {
                update.health = Health::RolledBack;
                P::RollbackEnter
            } else {
                P::FailureEnter
            }
        }
        P::RollbackEnter => unless(done, update, P::Rollback),
        P::Rollback if done => P::RollbackLeave,
        P::Rollback => unless(done, update, P::RollbackLeaveFailed),
        P::RollbackLeave if update.is_standalone() => unless(done, update, P::FailureEnter),
        P::RollbackLeave => unless(done, update, P::AskRollbackReboot),
        P::AskRollbackReboot => match event {
            Event::RebootNeed(RebootNeed::No) => P::FailureEnter,
            Event::RebootNeed(need) => {
                update.reboot = *need;
                P::RollbackRebootEnter
            }
            _ => unless(done, update, P::FailureEnter),
        },
        P::RollbackRebootEnter => {
            let next = rollback_reboot(update);
            unless(done, update, next)
        }
        // Whether that worked, the verification says.
        P::RollbackReboot => P::VerifyRollbackReboot,
        P::VerifyRollbackReboot if done => P::RollbackRebootLeave,
        // Without the previous software there is nothing to go on with; the limit on journal
        // writes ends this.
        P::VerifyRollbackReboot => rollback_reboot(update),
        P::RollbackRebootLeave if done => P::FailureEnter,
        P::RollbackRebootLeave => unless(done, update, P::RollbackRebootError),
        // After `RollbackLeaveFailed` and `RollbackRebootError`.
        _ => P::FailureEnter,
    };
    if next == P::FailureEnter {
        update.reach(match (phase, update.health) {
            (P::AskRollback, _) => Milestone::NoRollback,
            (_, Health::RolledBack) => Milestone::RolledBack,
            _ => Milestone::RollbackFailed,
        });
    }
    next
}

/// What the server does not hear now it is told between updates: the device must not wait for it.
/// A log is of use only for a failure that the server knows of.
fn reporting(phase: Phase, health: Health, event: &Event) -> Phase {
    match (phase, event) {
        (Phase::ReportOutcome, Event::Done) if health.is_failure() => Phase::UploadLog,
        (_, Event::Done | Event::Aborted) => Phase::Forget(None),
        (Phase::UploadLog, _) => Phase::Forget(Some(Owed::Log)),
        _ if health.is_failure() => Phase::Forget(Some(Owed::Failure)),
        _ => Phase::Forget(Some(Owed::Success)),
    }
}

/// A reboot that cannot be journaled leads back to itself. It is risked once, but not by a client
/// that such a reboot may have started: the device must not reboot for ever because its disk
/// cannot be written. The bootloader is set up for the previous software by now.
fn rollback_reboot(update: &mut Update) -> Phase {
    if update.is_unsaved && update.is_resumed {
        unless(false, update, Phase::FailureEnter)
    } else {
        Phase::RollbackReboot
    }
}

fn failed(update: &mut Update, part: FailedPart, next: Phase) -> Phase {
    update.fail(part);
    next
}

/// Goes on to `next`, and remembers a failure.
fn unless(done: bool, update: &mut Update, next: Phase) -> Phase {
    if !done {
        update.reach(match update.health {
            Health::Good => Milestone::CommittingFailed,
            Health::Failed => Milestone::NoRollback,
            Health::RolledBack | Health::RollbackFailed => Milestone::RollbackFailed,
        });
        update.health = update.health.worse();
    }
    next
}
