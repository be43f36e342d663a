//! What the server is told: how far an update is, how it ended, and later what it has not heard.

use rota_rest::device::LogMessage;

use super::{Runner, perform::Outcome};
use crate::{
    log::chain,
    machine::{Deployment, DeploymentId, Event, Owed, Retry, Status, Update},
    owed::{OwedReport, OwedReports},
    records::Records,
    retry::{Backoff, jitter, not_before},
    server::ServerError,
};

impl Runner<'_> {
    pub(super) fn report(&mut self, update: &Update, status: Status, retry: Retry) -> Outcome {
        let Some(Deployment { id, .. }) = update.deployment() else {
            return Outcome::Event(Event::Done);
        };
        self.world.log.info(format_args!("status: {}", status.as_str()));
        self.with_retries("the status report", update, retry, |runner| {
            runner.world.server.report(id, status)
        })
    }

    pub(super) fn upload_log(&mut self, update: &Update) -> Outcome {
        let Some(Deployment { id, .. }) = update.deployment() else {
            return Outcome::Event(Event::Done);
        };
        let Some(messages) = self.log_of(id) else { return Outcome::Event(Event::Done) };
        self.with_retries("the deployment log", update, Retry::Owing(Owed::Log), |runner| {
            runner.send_log(id, &messages)
        })
    }

    /// `None` if there is nothing to send.
    fn log_of(&self, id: &DeploymentId) -> Option<Vec<LogMessage>> {
        match self.world.logs.messages(id) {
            Ok(messages) => Some(messages).filter(|messages| !messages.is_empty()),
            Err(error) => {
                self.world.log.error(chain(&error));
                None
            }
        }
    }

    /// A log that the server has read and will not have is done with as well.
    fn send_log(&mut self, id: &DeploymentId, log: &[LogMessage]) -> Result<(), ServerError> {
        match self.world.server.upload_log(id, log.to_vec()) {
            Err(error) if error.is_about_content() => {
                self.world.log.warning(chain(&error));
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Talks to the server, if need be again and again. Wishes to retry later are granted within
    /// the same budget.
    fn with_retries(
        &mut self,
        what: &str,
        update: &Update,
        retry: Retry,
        mut request: impl FnMut(&mut Self) -> Result<(), ServerError>,
    ) -> Outcome {
        let mut pauses = Backoff::reports(self.retry.interval, self.retry.count);
        loop {
            let error = match request(self) {
                Ok(()) => return Outcome::Event(Event::Done),
                Err(error) => error,
            };
            if matches!(error, ServerError::Aborted) {
                self.world.log.warning(chain(&error));
                return Outcome::Event(Event::Aborted);
            }
            let may_retry = retry != Retry::No && error.is_worth_a_retry();
            let asked = error.retry_after();
            let Some(pause) = pauses.next_after(asked).filter(|_| may_retry) else {
                return self.failed(what, &error);
            };
            let pause = asked.map_or_else(|| jitter(pause), |asked| not_before(pause.max(asked)));
            self.world.log.warning(format_args!(
                "{what} failed: {}; next try in {:.0} s",
                chain(&error),
                pause.as_secs_f64()
            ));
            if let Retry::Owing(owed) = retry {
                self.end_owing(update, owed);
            }
            if self.world.clock.sleep(pause).is_err() {
                return Outcome::Stop;
            }
        }
    }

    /// The update is over for the journal, which holds what the server has not heard of it instead.
    /// Whether that could be written counts later, when the tries are over.
    fn end_owing(&mut self, update: &Update, owed: Owed) {
        let Some(Deployment { id, .. }) = update.deployment() else { return };
        if self.owed.owes(id) != Some(owed) {
            self.owe(id, owed);
            self.clear_journal(update);
        }
    }

    /// Notes what the server has not heard of an update; it is journaled with the update's end.
    pub(super) fn owe(&mut self, id: &DeploymentId, owed: Owed) {
        if let Some(OwedReport { deployment_id, .. }) = self.owed.owe(id, owed) {
            self.world.log.error(format_args!(
                "the server will never hear all about deployment {deployment_id}: too many others \
                 came after it"
            ));
        }
    }

    /// Sends what is owed, the oldest first, each once. Whatever comes of it, the device goes on:
    /// a server that does not take reports may have the update that puts it right.
    pub(super) fn settle(&mut self) -> Outcome {
        if self.world.clock.now() < self.settle_after {
            return Outcome::Event(Event::Done);
        }
        for report in self.owed.clone().iter() {
            let Err(error) = self.deliver(report) else { continue };
            if self.world.clock.check().is_err() {
                return Outcome::Stop;
            }
            self.world.log.warning(format_args!(
                "the server still has to hear about deployment {}: {}",
                report.deployment_id,
                chain(&error)
            ));
            if let Some(pause) = error.retry_after() {
                self.settle_after = self.world.clock.now() + pause;
                break;
            }
            if !error.is_answer() {
                break;
            }
        }
        Outcome::Event(Event::Done)
    }

    fn deliver(&mut self, report: &OwedReport) -> Result<(), ServerError> {
        let OwedReport { deployment_id: id, owed } = report;
        let heard = match owed {
            Owed::Success => self.world.server.report(id, Status::Success),
            Owed::Failure => self.world.server.report(id, Status::Failure),
            Owed::Log => Ok(()),
        };
        let wants_log = match heard {
            Ok(()) => *owed != Owed::Success,
            Err(error) if error.ends_deployment() => {
                self.world.log.info(format_args!("deployment {id}: {}", chain(&error)));
                false
            }
            Err(error) => return Err(error),
        };
        if wants_log {
            if *owed == Owed::Failure {
                self.change_owed(|reports| {
                    reports.owe(id, Owed::Log);
                });
            }
            if let Some(messages) = self.log_of(id) {
                self.send_log(id, &messages)?;
            }
        }
        self.change_owed(|reports| reports.settle(id));
        self.world.log.info(format_args!("nothing more is owed about deployment {id}"));
        Ok(())
    }

    /// What cannot be written counts as long as the process lives: nothing is sent twice, and
    /// nothing forgotten, because a disk is broken.
    fn change_owed(&mut self, change: impl FnOnce(&mut OwedReports)) {
        change(&mut self.owed);
        let owed = &self.owed;
        let outcome =
            self.world.store.change(&mut |records: &mut Records| records.owed.clone_from(owed));
        if let Err(error) = outcome {
            self.world.log.error(chain(&error));
        }
    }
}
