//! Where an Artifact can be had: a link that may expire, and the server that gives fresh ones.

use super::{Server, ServerError, Session};
use crate::{machine::DeploymentId, records::Software};

/// An address to download from.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) url: String,
    /// `None` for an address that somebody typed.
    renewal: Option<Renewal>,
}

/// What it takes to ask for the same Artifact again.
#[derive(Debug)]
struct Renewal {
    session: Session,
    deployment: DeploymentId,
    software: Software,
}

impl Link {
    pub(super) fn fixed(url: &str) -> Self {
        Self { url: url.to_owned(), renewal: None }
    }

    pub(super) fn of_deployment(
        url: &str,
        session: Session,
        deployment: DeploymentId,
        software: Software,
    ) -> Self {
        Self { url: url.to_owned(), renewal: Some(Renewal { session, deployment, software }) }
    }

    /// Gets a fresh link; `false` if there is none but the one that is known.
    pub(super) fn renew(&mut self) -> Result<bool, ServerError> {
        let Some(Renewal { session, deployment, software }) = &mut self.renewal else {
            return Ok(false);
        };
        let offer = session.poll(software)?;
        let fresh = offer.filter(|offer| offer.id == *deployment).map(|offer| offer.uri);
        let fresh = fresh.ok_or(ServerError::NoLongerOffered)?;
        let is_new = fresh != self.url;
        self.url = fresh;
        Ok(is_new)
    }
}
