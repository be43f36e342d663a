//! What a device does: it asks what to do, and reports how it goes.

use rota_types::{Caller, DeploymentId, DeviceId, TenantId};

use super::{Result, link::Link};
use crate::{
    Deployments,
    error::Error,
    metrics,
    model::{
        control_map::ControlMap,
        decision::{Answer, Choice, Decision, Device, Fit, Instruction, decide},
        status::{self, DeviceStatus, Report},
    },
    store::{hot, hot::Glimpse, places},
};

/// The longest substate (server API, device deployment), in characters.
const MAX_SUBSTATE: usize = 200;

/// What a device is told to install.
#[derive(Debug, Clone)]
pub(crate) struct Instructions {
    pub(crate) deployment: DeploymentId,
    pub(crate) artifact: Fit,
    pub(crate) source: Link,
    pub(crate) control_map: Option<ControlMap>,
}

impl Deployments {
    /// What the device shall do; `None`: nothing.
    pub(crate) async fn next(
        &self,
        tenant: TenantId,
        device: DeviceId,
        asking: Device,
    ) -> Result<Option<Instructions>> {
        if !self.active_tenants().may_include(tenant) {
            metrics::poll("idle");
            return Ok(None);
        }
        let answer = match hot::glimpse(self.db(), tenant, device).await? {
            Glimpse::Nothing => Answer::Nothing,
            Glimpse::Begun(candidate) => {
                match decide(&asking, std::slice::from_ref(&*candidate), self.now()).answer {
                    // What an earlier poll was told is said again, and nothing written down.
                    answer @ Answer::Install(_) => answer,
                    Answer::Nothing | Answer::Conflict(_) => {
                        self.settle(tenant, device, &asking).await?
                    }
                }
            }
            Glimpse::ToDecide => self.settle(tenant, device, &asking).await?,
        };
        match answer {
            Answer::Install(instruction) => {
                metrics::poll("install");
                let source = self.device_link(tenant, &instruction.artifact).await?;
                let Instruction { deployment, artifact, control_map, .. } = instruction;
                Ok(Some(Instructions { deployment, artifact, source, control_map }))
            }
            Answer::Nothing => {
                metrics::poll("nothing");
                Ok(None)
            }
            Answer::Conflict(refusal) => {
                metrics::poll("conflict");
                tracing::info!(%device, deployment = %refusal.deployment, reason = ?refusal.reason, "request changed");
                Err(Error::RequestChanged)
            }
        }
    }

    /// Decides with the device's places held, and writes down what follows.
    async fn settle(&self, tenant: TenantId, device: DeviceId, asking: &Device) -> Result<Answer> {
        let now = self.now();
        let Decision { answer, passed } = self
            .db()
            .in_tenant(tenant, async |mut tx| {
                let candidates = places::lock_candidates(&mut tx, device).await?;
                let decision = decide(asking, &candidates, now);
                for refusal in &decision.passed {
                    places::refuse(&mut tx, device, asking, refusal).await?;
                }
                match &decision.answer {
                    Answer::Install(told) if told.because != Choice::Kept => {
                        places::hand_out(&mut tx, device, asking, told.deployment, &told.artifact)
                            .await?;
                    }
                    Answer::Conflict(refusal) => {
                        places::refuse(&mut tx, device, asking, refusal).await?;
                    }
                    Answer::Install(_) | Answer::Nothing => {}
                }
                Ok::<_, Error>(decision)
            })
            .await?;
        for refusal in &passed {
            tracing::debug!(%device, deployment = %refusal.deployment, reason = ?refusal.reason, "nothing to install");
            self.finish_if_done(tenant, refusal.deployment).await;
        }
        if let Answer::Conflict(refusal) = &answer {
            self.finish_if_done(tenant, refusal.deployment).await;
        }
        Ok(answer)
    }

    /// Takes a device's report about a deployment.
    pub(crate) async fn report_status(
        &self,
        caller: &Caller,
        device: DeviceId,
        deployment: DeploymentId,
        reported: &str,
        substate: &str,
    ) -> Result<()> {
        let reported: DeviceStatus = reported.parse()?;
        if !reported.is_reportable() {
            return Err(Error::NotReportable(reported.to_string()));
        }
        if substate.chars().count() > MAX_SUBSTATE {
            let reason = "must be at most 200 characters long";
            return Err(Error::Field { field: "substate", reason });
        }
        let now = self.now();
        let ended = self
            .db()
            .in_tenant(caller.tenant, async |mut tx| {
                let place =
                    places::lock(&mut tx, deployment, device).await?.ok_or(Error::NotFound)?;
                match status::report(place.status, reported, place.attempts, place.retries) {
                    Report::Refused => Err(Error::TakenBack),
                    Report::Nothing => Ok(false),
                    Report::Set(status)
                        if (status, substate) == (place.status, &*place.substate) =>
                    {
                        Ok(false)
                    }
                    Report::Retry => {
                        places::retry(&mut tx, deployment, device, substate, now).await?;
                        Ok(false)
                    }
                    Report::Set(status) => {
                        places::set_status(&mut tx, deployment, device, status, substate, now)
                            .await?;
                        Ok(!status.is_active())
                    }
                }
            })
            .await?;
        if ended {
            self.finish_if_done(caller.tenant, deployment).await;
        }
        Ok(())
    }
}
