//! The server of a device in memory.

use std::io;

use rota_rest::device::{Attribute, LogMessage};
use serde_json::Value;

use super::{Fake, LIFE, is_end};
use crate::{
    machine::{Deployment, DeploymentId, Status},
    modules::Source,
    records::Software,
    server::{Server, ServerError},
};

/// The error for a server's answer.
fn answer(status: u16) -> ServerError {
    match status {
        409 => ServerError::Aborted,
        429 => ServerError::Busy { status, retry_after: Some(LIFE) },
        500.. => ServerError::Busy { status, retry_after: None },
        _ => ServerError::Refused { what: "a status report", status, message: String::new() },
    }
}

impl Server for Fake {
    fn poll(&mut self, _: &Software) -> Result<Option<Deployment>, ServerError> {
        self.0.operate();
        if self.0.is_silent() {
            self.0.unanswered_polls.set(self.0.unanswered_polls.get() + 1);
            return Err(answer(503));
        }
        let offers = self.0.offers.borrow();
        let is_given_up = |id: &str| self.0.deaf_to.get() == Some(id) && self.0.has_been_deaf.get();
        let Some(id) = offers.iter().find(|id| !self.0.has_ended(id) && !is_given_up(id)) else {
            self.0.is_over.set(offers.iter().all(|id| self.0.has_ended(id)));
            return Ok(None);
        };
        let id = DeploymentId::try_from((*id).to_owned()).unwrap();
        Ok(Some(Deployment { id, uri: "https://rota.example".to_owned() }))
    }

    fn report(&mut self, id: &DeploymentId, status: Status) -> Result<(), ServerError> {
        self.0.operate();
        if is_end(status) && self.0.silent_until.get().is_none() {
            self.0.silent_until.set(Some(self.0.now.get() + self.0.silence.get()));
        }
        if self.0.is_silent() || (is_end(status) && self.0.is_deaf_to(id.as_str())) {
            return Err(answer(503));
        }
        if !self.0.offers.borrow().contains(&id.as_str())
            && let Some(refusal) = self.0.answer_to_others.get()
        {
            self.0.refusals.set(self.0.refusals.get() + 1);
            return Err(answer(refusal));
        }
        if self.0.abort_at.get() == Some(status) {
            self.0.abort_at.set(None);
            return Err(ServerError::Aborted);
        }
        if self.0.outage.get() > 0 {
            self.0.outage.set(self.0.outage.get() - 1);
            return Err(answer(503));
        }
        self.0.reports.borrow_mut().push((id.to_string(), status));
        self.0.operate();
        Ok(())
    }

    fn upload_log(&mut self, id: &DeploymentId, log: Vec<LogMessage>) -> Result<(), ServerError> {
        assert!(!log.is_empty());
        self.0.logs.borrow_mut().push(id.to_string());
        Ok(())
    }

    fn send_inventory(&mut self, _: Vec<Attribute>) -> Result<(), ServerError> {
        self.0.inventories_sent.borrow_mut().push(self.0.now.get());
        Ok(())
    }

    fn download(&mut self, _: &Deployment, _: &Software) -> Result<Source, ServerError> {
        Ok(Box::new(io::empty()))
    }

    fn control_map(&mut self, _: &DeploymentId) -> Result<Option<Value>, ServerError> {
        self.0.operate();
        let now = self.0.now.get();
        let maps = self.0.control_maps.borrow();
        let Some((_, map)) = maps.iter().rev().find(|(from, _)| *from <= now) else {
            return Ok(None);
        };
        self.0.renewals.borrow_mut().push(now);
        if self.0.is_cut_off.get() && self.0.is_paused() {
            return Err(answer(503));
        }
        map.clone().map(Some).ok_or(ServerError::Aborted)
    }

    fn drop_token(&mut self) {}
}
