//! How fast machines are here, and whether the processor can carry out their instructions.
//!
//! That `/dev/kvm` opens is not enough: inside some virtual machines it runs nothing but kernels
//! made for it. So a machine is started to see, and its start is timed.

use std::{
    fs::File,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use rota_e2e::wait;

use crate::{
    block::{BlockServer, Fresh},
    console::{Console, Mark},
    qemu::{Accelerator, Hardware, qemu},
    report::say,
};

/// How long a start with KVM may take; it takes about two seconds.
const KVM_LIMIT: Duration = Duration::from_secs(15);
/// How long an emulated one may take; it takes about seven seconds of a processor.
const TCG_LIMIT: Duration = Duration::from_mins(5);

/// The probe's own watchdog must not interfere.
pub(crate) const WATCHDOG: Duration = Duration::from_mins(10);

/// What machines are like here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    pub(crate) accelerator: Accelerator,
    /// From the power switch to a system's first program.
    pub(crate) start: Duration,
}

impl Speed {
    /// How long a machine gets until it is in a state that it must reach: downloads and restarts,
    /// and a report that is retried for three minutes.
    pub(crate) fn limit(self) -> Duration {
        Duration::from_mins(5) + self.start * 40
    }

    /// How long the watchdog waits; more than any start takes, even while other machines work and
    /// the host is busy.
    pub(crate) fn watchdog(self) -> Duration {
        let least = match self.accelerator {
            Accelerator::Kvm => Duration::from_secs(30),
            Accelerator::Tcg => Duration::from_mins(2),
        };
        (self.start * 15).clamp(least, Duration::from_mins(5))
    }
}

/// What machines are run with: what `ACCEL` says (`kvm` or `tcg`), else KVM if it works. `disk` is
/// an image of a disk that starts a system.
pub(crate) async fn speed(disk: &Path, folder: &Path) -> Result<Speed> {
    let asked = std::env::var("ACCEL").ok();
    if !matches!(asked.as_deref(), None | Some("kvm" | "tcg")) {
        bail!("ACCEL={} must be kvm or tcg", asked.unwrap_or_default());
    }
    let speed = match asked.as_deref() {
        Some("tcg") => start(Accelerator::Tcg, disk, folder).await?,
        Some(_) => start(Accelerator::Kvm, disk, folder).await?,
        None => match kvm(disk, folder).await {
            Ok(speed) => speed,
            Err(error) => {
                say(format_args!(
                    "/dev/kvm is of no use here, so machines are emulated: {error:#}"
                ));
                start(Accelerator::Tcg, disk, folder).await?
            }
        },
    };
    let Speed { accelerator, start } = speed;
    say(format_args!("machines start in {:.1} s ({accelerator:?})", start.as_secs_f64()));
    Ok(speed)
}

async fn kvm(disk: &Path, folder: &Path) -> Result<Speed> {
    File::options().read(true).write(true).open("/dev/kvm")?;
    start(Accelerator::Kvm, disk, folder).await
}

/// Starts a machine and takes the time.
async fn start(accelerator: Accelerator, disk: &Path, folder: &Path) -> Result<Speed> {
    let folder = folder.join(format!("probe-{accelerator:?}"));
    std::fs::create_dir_all(&folder)?;
    let disk = BlockServer::start(Arc::new(Fresh::open(disk)?), &folder.join("disk.socket"), &[])?;
    let path = folder.join("console.log");
    let hardware = Hardware { accelerator, disk: disk.socket(), console: path.clone(), number: 0 };
    let console = Console::new(path);
    let begin = Instant::now();
    let mut process = qemu(&hardware, &folder)?.start()?;
    let limit = match accelerator {
        Accelerator::Kvm => KVM_LIMIT,
        Accelerator::Tcg => TCG_LIMIT,
    };
    let started = wait::until("the start of a machine", limit, || async {
        Ok(console.last_boot(Mark::default())?.map(|_| begin.elapsed()))
    })
    .await;
    process.kill()?;
    Ok(Speed { accelerator, start: started? })
}
