//! Deployment logs of devices, which lie in the blob store.

use futures::{StreamExt, TryStreamExt, stream};
use rota_blob::{BlobKey, BlobKind, ByteRange};
use rota_types::{Caller, DeploymentId, DeviceId};

use super::Result;
use crate::{
    Deployments,
    error::Error,
    model::device_log::{LogLine, render},
    store::places,
};

impl Deployments {
    /// Keeps a device's log of a deployment in place of the one before.
    pub(crate) async fn store_log(
        &self,
        caller: &Caller,
        device: DeviceId,
        deployment: DeploymentId,
        lines: &[LogLine],
    ) -> Result<()> {
        if lines.is_empty() {
            return Err(Error::Field { field: "messages", reason: "must not be empty" });
        }
        let mut tx = self.db().tenant(caller.tenant).await?;
        let record = places::record(&mut tx, deployment, device).await?.ok_or(Error::NotFound)?;
        // Nothing is held open while the bytes are on their way.
        tx.rollback().await?;
        let key = BlobKey::new(caller.tenant, BlobKind::Log, record.id);
        let text = stream::once(std::future::ready(Ok(render(lines).into()))).boxed();
        self.blobs().put_stream(&key, text).await?;
        if !record.has_log {
            let mut tx = self.db().tenant(caller.tenant).await?;
            places::set_log(&mut tx, deployment, device).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// A device's log of a deployment.
    pub(crate) async fn log(
        &self,
        caller: &Caller,
        deployment: DeploymentId,
        device: DeviceId,
    ) -> Result<String> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let record = places::record(&mut tx, deployment, device).await?;
        tx.rollback().await?;
        let record = record.filter(|record| record.has_log).ok_or(Error::NotFound)?;
        let key = BlobKey::new(caller.tenant, BlobKind::Log, record.id);
        let blob = self.blobs().get(&key, ByteRange::ALL).await?.ok_or(Error::NotFound)?;
        let mut bytes = Vec::new();
        let mut body = blob.body;
        while let Some(chunk) = body.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
