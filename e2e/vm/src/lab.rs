//! What all machines share: the platform, an operator, the releases, the disk that they begin
//! with.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream, try_join};
use rota_e2e::{
    operator::Operator,
    platform::{Form, Platform},
    wait,
};

use crate::{
    block::Fresh,
    image::{Fault, System, Workshop},
    probe::{self, Speed},
    report::say,
};

/// How long a device that has started may take to ask to be let in.
const LET_IN_LIMIT: Duration = Duration::from_mins(3);

/// The systems that are deployed: three sound ones, and one for each fault.
const SYSTEMS: [System; 7] = [
    System { name: "two", fault: Fault::None },
    System { name: "three", fault: Fault::None },
    System { name: "four", fault: Fault::None },
    System { name: "panics", fault: Fault::KernelPanics },
    System { name: "hangs", fault: Fault::InitHangs },
    System { name: "alone", fault: Fault::NoServer },
    System { name: "blind", fault: Fault::NoEnvironment },
];

/// How many releases are built at a time.
const RELEASES_AT_ONCE: usize = 2;

/// The laboratory; everything in it ends with it.
pub(crate) struct Lab {
    pub(crate) platform: Platform,
    pub(crate) operator: Operator,
    /// The disk of a new machine.
    pub(crate) factory: Arc<Fresh>,
    /// The same with a trial under way, of a system that is not there.
    pub(crate) trial: Arc<Fresh>,
    pub(crate) speed: Speed,
    pub(crate) folder: PathBuf,
}

impl Lab {
    /// Starts the platform, builds the images and uploads the releases.
    pub(crate) async fn open(folder: &Path, cache: &Path) -> Result<Self> {
        say("starting the platform");
        let place = folder.join("platform");
        std::fs::create_dir_all(&place)?;
        let platform = Platform::start(Form::OneProcess, &place).await?;
        let operator = platform.operator().await?;
        let images = folder.join("images");
        let workshop = Workshop::open(&images, cache, operator.base(), platform.certificate())?;
        let workshop = Arc::new(workshop);
        let probe = workshop.disks(probe::WATCHDOG)?.factory;
        say("building the releases, and trying a machine out");
        let releases = SYSTEMS.map(|system| release(&operator, &workshop, system));
        let (speed, ()) = try_join!(
            probe::speed(&probe, folder),
            stream::iter(releases)
                .map(Ok)
                .try_for_each_concurrent(RELEASES_AT_ONCE, |release| release)
        )?;
        let disks = workshop.disks(speed.watchdog())?;
        let factory = Arc::new(Fresh::open(&disks.factory)?);
        let trial = Arc::new(Fresh::open(&disks.trial)?);
        Ok(Self { platform, operator, factory, trial, speed, folder: folder.to_owned() })
    }

    /// Waits until the device with this network address asks to be let in, and lets it in; gives
    /// its id.
    pub(crate) async fn let_in(&self, mac: &str) -> Result<String> {
        wait::until(&format!("device {mac} to ask to be let in"), LET_IN_LIMIT, || async {
            let pending = self.operator.devices("pending").await?;
            let asks = pending.into_iter().find(|device| device.identity["mac"] == mac);
            let Some(device) = asks else { return Ok(None) };
            let (auth_set, _) = device.auth_sets.first().context("a device without auth sets")?;
            self.operator.set_status(&device.id, auth_set, "accepted").await?;
            Ok(Some(device.id))
        })
        .await
    }
}

/// Builds a release and uploads it.
async fn release(operator: &Operator, workshop: &Arc<Workshop>, system: System) -> Result<()> {
    let workshop = Arc::clone(workshop);
    let artifact = tokio::task::spawn_blocking(move || workshop.artifact(system)).await??;
    let upload = operator.upload(&artifact).await;
    upload.with_context(|| format!("cannot upload {}", artifact.display()))?;
    Ok(std::fs::remove_file(artifact)?)
}
