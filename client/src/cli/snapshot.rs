//! `snapshot dump`: the root file system as an image, on standard output.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, bail};
use rota_client::{
    host::Host,
    progress::Progress,
    snapshot::{self, Compression, Freezer, Guarded, Place, WATCHDOG},
};
use rustix::fs::{SeekFrom, seek};

use super::{Device, Exit, progress, signal};

/// What the program calls itself where it is the guard of a frozen file system.
pub(super) const GUARD: &str = "rota-client-snapshot-guard";

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) source: PathBuf,
    pub(super) compression: Compression,
    pub(super) quiet: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { source: "/".into(), compression: Compression::None, quiet: false }
    }
}

pub(super) fn dump(device: &Device, flags: &Flags) -> anyhow::Result<Exit> {
    signal::listen(&device.wake)?;
    let stdout = io::stdout();
    if stdout.is_terminal() {
        return Err(snapshot::SnapshotError::Terminal.into());
    }
    let source = std::path::absolute(&flags.source).context("cannot tell what --source means")?;
    let place = snapshot::find(&Host::default(), &source)?;
    let stderr = io::stderr();
    // A daemon that writes to its data while that is frozen would miss what it has to do.
    let data = File::open(&device.paths.data);
    let mut others = vec![("standard error", stderr.as_fd())];
    others.extend(device.log_file.as_ref().map(|file| ("the log file", file.as_fd())));
    others.extend(data.as_ref().map(|data| ("the data folder of the client", data.as_fd())));
    snapshot::check_output(&place, stdout.as_fd(), &others)?;

    let (mut image, size_bytes) = open(&place.device)?;
    let freezer = snapshot::freezer(&place)?
        .map(|freezer| Box::new(Guarded::new(freezer, guard(&place))) as Box<dyn Freezer>);
    let mut bar = (!flags.quiet).then(|| progress::watcher(device));
    let began = Instant::now();
    let mut watch = |done_bytes| {
        if let Some(bar) = &mut bar {
            bar(Progress { done_bytes, size_bytes, elapsed: began.elapsed() });
        }
    };
    let output = (&mut stdout.lock() as &mut dyn io::Write, flags.compression);
    let done = snapshot::dump(
        &mut image,
        &place.device,
        freezer,
        output,
        WATCHDOG,
        &device.wake,
        &mut watch,
    );
    drop(bar);
    let total = done?;
    if !flags.quiet {
        device.log.info(format_args!("{total} bytes of {} were copied", place.device.display()));
    }
    Ok(Exit::Success)
}

/// This program as the guard of a file system. It is called by what runs, even if another one has
/// taken its place on the disk.
fn guard(place: &Place) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(GUARD).args(&place.mount_point).arg(place.device_number.to_string());
    command
}

/// The guard's own command line: its name, a mount point, and the number of the device there.
pub(super) fn stand_guard(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Exit> {
    let arguments: Vec<_> = arguments.skip(1).collect();
    let [mount_point, device_number] = arguments.as_slice() else {
        bail!("{GUARD} is for the program's own use");
    };
    let device_number = device_number.to_string_lossy().parse().context("no device number")?;
    let mount_point = Some(PathBuf::from(mount_point));
    let place = Place { device: PathBuf::new(), device_number, mount_point };
    signal::endure()?;
    if let Some(mut freezer) = snapshot::freezer(&place)? {
        let (mut tie, mut answer) = (io::stdin().lock(), io::stdout());
        snapshot::stand_guard(&mut freezer, &mut tie, &mut answer)?;
    }
    Ok(Exit::Success)
}

/// The device and its size.
fn open(path: &Path) -> anyhow::Result<(File, Option<u64>)> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let size_bytes = seek(&file, SeekFrom::End(0)).ok();
    seek(&file, SeekFrom::Start(0)).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((file, size_bytes))
}
