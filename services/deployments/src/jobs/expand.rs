//! Writes the rest of a long device list, piece by piece, from where it stands.

use rota_types::{DeploymentId, DeviceId, JobId, TenantId};

use super::work::LEASE;
use crate::{
    Deployments,
    app::{Result, deployments::LIST_BATCH},
    error::Error,
    store::{deployments, device_deployments, jobs},
    targets::{self, Targets},
};

/// Where the devices come from.
enum Source<'a> {
    /// The request named them.
    Named(&'a [DeviceId]),
    /// Inventory knows them.
    Inventory(Box<Targets>),
}

impl Source<'_> {
    async fn next(&mut self) -> Result<Vec<DeviceId>> {
        match self {
            Self::Named(rest) => {
                let (piece, behind) = rest.split_at(rest.len().min(LIST_BATCH));
                *rest = behind;
                Ok(piece.to_vec())
            }
            Self::Inventory(targets) => targets.next(LIST_BATCH).await,
        }
    }
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Written,
    /// There was nothing left to write: the list is complete.
    Last,
    /// The deployment was aborted, or another process has taken over.
    GivenUp,
}

impl Deployments {
    /// Carries out [`Task::Expand`](jobs::Task::Expand).
    pub(super) async fn expand(
        &self,
        tenant: TenantId,
        job: JobId,
        deployment: DeploymentId,
        named: Option<&[DeviceId]>,
        mut after: Option<DeviceId>,
    ) -> Result<()> {
        let mut source = match named {
            Some(devices) => {
                let written = devices.partition_point(|device| Some(*device) <= after);
                Source::Named(&devices[written..])
            }
            None => Source::Inventory(Box::new(self.targets(tenant, deployment, after).await?)),
        };
        loop {
            let devices = source.next().await?;
            match self.write_piece(tenant, job, deployment, after, &devices).await? {
                Piece::Written => after = devices.last().copied(),
                Piece::GivenUp => return Ok(()),
                Piece::Last => {
                    // Its devices may all have come to an end before the list was complete.
                    return self.try_finish(tenant, deployment).await;
                }
            }
        }
    }

    async fn targets(
        &self,
        tenant: TenantId,
        deployment: DeploymentId,
        after: Option<DeviceId>,
    ) -> Result<Targets> {
        let mut tx = self.db().tenant(tenant).await?;
        let held = deployments::hold(&mut tx, deployment).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        targets::stream(&self.inventory(), tenant, self.now(), held.group.as_deref(), after).await
    }

    async fn write_piece(
        &self,
        tenant: TenantId,
        job: JobId,
        deployment: DeploymentId,
        after: Option<DeviceId>,
        devices: &[DeviceId],
    ) -> Result<Piece> {
        let now = self.now();
        self.db()
            .in_tenant(tenant, async |mut tx| {
                // Held, so that an abort comes before the piece or after it.
                let held = deployments::hold(&mut tx, deployment).await?.ok_or(Error::NotFound)?;
                let Some(last) = devices.last().copied().filter(|_| !held.is_finished) else {
                    let ended = jobs::done(&mut tx, job).await?;
                    if held.is_finished || !ended {
                        return Ok(Piece::GivenUp);
                    }
                    deployments::count_listed(&mut tx, deployment, 0, Some(now)).await?;
                    return Ok(Piece::Last);
                };
                if !jobs::advance(&mut tx, job, after, last, LEASE).await? {
                    return Ok(Piece::GivenUp);
                }
                let written =
                    device_deployments::insert(&mut tx, deployment, held.created, devices).await?;
                deployments::count_listed(&mut tx, deployment, written, None).await?;
                Ok(Piece::Written)
            })
            .await
    }
}
