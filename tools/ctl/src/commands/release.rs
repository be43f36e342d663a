//! Releases: Artifacts of one name.

use anyhow::Result;
use rota_rest::releases::Release;

use crate::{
    api::Api,
    cli::{self, Format},
    output::{self, Table},
};

/// Carries out a command on releases.
pub(super) async fn run(format: Format, api: &Api, command: cli::Release) -> Result<()> {
    match command {
        cli::Release::List => {
            let releases: Vec<Release> =
                api.list("/api/management/v2/deployments/deployments/releases").await?;
            let mut table = Table::new(&["name", "artifacts", "device types", "tags"]);
            for release in &releases {
                let mut types: Vec<&str> = release
                    .artifacts
                    .iter()
                    .flat_map(|artifact| &artifact.contents.device_types_compatible)
                    .map(String::as_str)
                    .collect();
                types.sort_unstable();
                types.dedup();
                table.row([
                    release.name.clone(),
                    release.artifacts.len().to_string(),
                    types.join(", "),
                    release.tags.join(", "),
                ]);
            }
            output::result(format, &releases, &table)
        }
    }
}
