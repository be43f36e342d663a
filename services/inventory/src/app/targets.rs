//! The devices that a deployment can go to.

use rota_types::{Caller, DeviceId};
use uuid::Uuid;

use crate::{Error, Inventory, model::GroupName, store::targets};

/// Which accepted devices are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// All of them.
    All,
    /// Those of a group.
    Group(GroupName),
    /// Those of a list.
    List(Vec<DeviceId>),
}

/// Goes through accepted devices in the order of their ids. Each batch is read for itself, so
/// that a slow reader holds no transaction.
#[derive(Debug)]
pub struct TargetReader {
    inventory: Inventory,
    caller: Caller,
    targets: Targets,
    after: Option<Uuid>,
    finished: bool,
}

impl Inventory {
    /// Begins to go through the targets after `after`.
    pub fn targets(
        &self,
        caller: &Caller,
        mut targets: Targets,
        after: Option<DeviceId>,
    ) -> TargetReader {
        if let Targets::List(ids) = &mut targets {
            ids.sort_unstable();
            ids.dedup();
            // From the end, so that batches come off in order.
            ids.reverse();
        }
        TargetReader {
            inventory: self.clone(),
            caller: caller.clone(),
            targets,
            after: after.map(DeviceId::uuid),
            finished: false,
        }
    }
}

impl TargetReader {
    /// The next batch, at most 1000 ids; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<Uuid>>, Error> {
        while !self.finished {
            let batch = self.read().await?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Vec<Uuid>, Error> {
        let size = usize::try_from(targets::BATCH).unwrap_or(usize::MAX);
        let mut tx = self.inventory.db.tenant(self.caller.tenant).await?;
        let batch = match &mut self.targets {
            Targets::All => targets::all(&mut tx, self.after).await?,
            Targets::Group(group) => targets::of_group(&mut tx, group, self.after).await?,
            Targets::List(ids) => {
                let chunk = ids.split_off(ids.len().saturating_sub(size));
                self.finished = ids.is_empty();
                let wanted: Vec<Uuid> = chunk
                    .into_iter()
                    .map(DeviceId::uuid)
                    .filter(|id| self.after.is_none_or(|after| *id > after))
                    .collect();
                targets::among(&mut tx, &wanted).await?
            }
        };
        tx.commit().await?;
        if !matches!(self.targets, Targets::List(_)) {
            self.finished = batch.len() < size;
            self.after = batch.last().copied().or(self.after);
        }
        Ok(batch)
    }
}
