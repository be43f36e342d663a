//! The stories, and the two forms of the platform that each is told to.

mod bad_input;
mod downloads;
mod kills;
mod main_job;
mod paper;
mod revocation;
mod tenants;

use std::path::Path;

use anyhow::{Context, Result};
use rota_e2e::platform::{Form, Platform};

/// What a story gets: a fresh platform, and a folder for what it needs besides.
struct Stage<'a> {
    platform: &'a mut Platform,
    folder: &'a Path,
}

/// Starts a platform and tells it a story. What the platform printed is shown when it goes
/// wrong.
async fn tell(form: Form, story: impl AsyncFnOnce(&mut Stage<'_>) -> Result<()>) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rota-story").tempdir()?;
    let place = folder.path().join("platform");
    let own = folder.path().join("own");
    std::fs::create_dir(&place)?;
    std::fs::create_dir(&own)?;
    let mut platform = Platform::start(form, &place).await?;
    let outcome = story(&mut Stage { platform: &mut platform, folder: &own }).await;
    outcome.with_context(|| format!("what the platform printed:\n{}", platform.all_printed()))
}

macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        /// Everything in one process.
        mod one_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> {
                super::tell(rota_e2e::platform::Form::OneProcess, super::$story::tell).await
            })+
        }

        /// Every service in processes of its own.
        mod separate {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> {
                super::tell(rota_e2e::platform::Form::Separate, super::$story::tell).await
            })+
        }
    };
}

stories!(main_job, bad_input, downloads, revocation, tenants);

/// Only processes of their own can be killed one at a time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing() -> Result<()> {
    tell(Form::Separate, kills::tell).await
}
