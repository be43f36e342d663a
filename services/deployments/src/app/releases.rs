//! Releases: what is seen of them, their words, and their end.

use std::collections::HashMap;

use rota_types::{Caller, DeploymentId, Page};

use super::{Result, artifacts::delete};
use crate::{
    Deployments,
    error::Error,
    model::{
        artifact::Artifact,
        release::{self, MAX_TENANT_TAGS, Release, ReleaseFilter},
    },
    store::{artifacts, deployments, releases},
};

impl Deployments {
    /// The releases that pass the filter, and how many there are in all.
    pub(crate) async fn list_releases(
        &self,
        caller: &Caller,
        filter: &ReleaseFilter,
        page: Option<Page>,
    ) -> Result<(Vec<Release>, i64)> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let (mut list, total) = releases::list(&mut tx, filter, page).await?;
        let names: Vec<String> = list.iter().map(|release| release.name.clone()).collect();
        let mut by_name: HashMap<String, Vec<Artifact>> = HashMap::new();
        for artifact in artifacts::of_releases(&mut tx, &names).await? {
            by_name.entry(artifact.name.clone()).or_default().push(artifact);
        }
        for release in &mut list {
            release.artifacts = by_name.remove(&release.name).unwrap_or_default();
        }
        Ok((list, total))
    }

    /// One release.
    pub(crate) async fn release(&self, caller: &Caller, name: &str) -> Result<Release> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        let mut release = releases::get(&mut tx, name).await?.ok_or(Error::NotFound)?;
        release.artifacts = artifacts::of_releases(&mut tx, &[name.to_owned()]).await?;
        Ok(release)
    }

    /// Deletes releases with all their Artifacts; those that are not there are no fault. Gives
    /// the active deployments that use one of them: then nothing was deleted.
    pub(crate) async fn delete_releases(
        &self,
        caller: &Caller,
        names: &[String],
    ) -> Result<Vec<DeploymentId>> {
        if names.is_empty() {
            return Err(Error::Field { field: "name", reason: "must name at least one release" });
        }
        let now = self.now();
        let active = self
            .db()
            .in_tenant(caller.tenant, async |mut tx| {
                let ids: Vec<_> = artifacts::of_releases(&mut tx, names)
                    .await?
                    .into_iter()
                    .map(|artifact| artifact.id)
                    .collect();
                let locked = artifacts::lock(&mut tx, &ids).await?;
                let active = deployments::active_of_releases(&mut tx, names).await?;
                if active.is_empty() {
                    for artifact in &locked {
                        delete(&mut tx, artifact, now).await?;
                    }
                }
                Ok::<_, Error>(active)
            })
            .await?;
        self.ring();
        Ok(active)
    }

    /// Sets a release's notes.
    pub(crate) async fn set_notes(&self, caller: &Caller, name: &str, notes: &str) -> Result<()> {
        release::check_notes(notes)?;
        let mut tx = self.db().tenant(caller.tenant).await?;
        if !releases::set_notes(&mut tx, name, notes).await? {
            return Err(Error::NotFound);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Replaces a release's tags.
    pub(crate) async fn set_tags(
        &self,
        caller: &Caller,
        name: &str,
        tags: &[String],
    ) -> Result<()> {
        let tags = release::normalise_tags(tags)?;
        self.db()
            .in_tenant(caller.tenant, async |mut tx| {
                if !releases::set_tags(&mut tx, name, &tags).await? {
                    return Err(Error::NotFound);
                }
                if releases::count_tags(&mut tx).await? > MAX_TENANT_TAGS {
                    return Err(Error::TooManyTags);
                }
                Ok(())
            })
            .await
    }

    /// All tags of the tenant.
    pub(crate) async fn tags(&self, caller: &Caller) -> Result<Vec<String>> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        Ok(releases::tags(&mut tx).await?)
    }

    /// All payload types of the tenant.
    pub(crate) async fn update_types(&self, caller: &Caller) -> Result<Vec<String>> {
        let mut tx = self.db().tenant(caller.tenant).await?;
        Ok(releases::update_types(&mut tx).await?)
    }
}
