//! Where a story is told: a platform started for it alone, and a folder for what it needs
//! besides.

use std::path::Path;

use anyhow::{Context, Result};

use crate::platform::{Form, Platform};

/// What a story gets.
pub struct Stage<'a> {
    /// A fresh platform.
    pub platform: &'a mut Platform,
    /// An empty folder.
    pub folder: &'a Path,
}

/// Starts a platform and tells it a story; nothing of either is left afterwards. What the
/// platform printed is shown when it goes wrong.
pub async fn tell(form: Form, story: impl AsyncFnOnce(&mut Stage<'_>) -> Result<()>) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("rota-story").tempdir()?;
    let place = folder.path().join("platform");
    let own = folder.path().join("own");
    std::fs::create_dir(&place)?;
    std::fs::create_dir(&own)?;
    let mut platform = Platform::start(form, &place).await?;
    let outcome = story(&mut Stage { platform: &mut platform, folder: &own }).await;
    outcome.with_context(|| format!("what the platform printed:\n{}", platform.all_printed()))
}
