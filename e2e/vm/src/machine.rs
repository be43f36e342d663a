//! A device: a virtual machine with a disk of its own, known to the platform.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rand::Rng;
use rota_e2e::{
    process::{Process, Program},
    wait,
};

use crate::{
    block::{BlockServer, Fresh, Loss, SECTOR_BYTES},
    console::{Boot, Console, Mark},
    image::{self, BOOT, DATA, FACTORY, ROOT_A, ROOT_B},
    lab::Lab,
    qemu::{Hardware, qemu},
};

/// Where a superblock begins in its partition (ext4: 1024 bytes from there).
const SUPERBLOCK: u64 = 1024;

/// How often the platform is asked. It shares the processors with the machines.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// A machine.
pub(crate) struct Machine<'a> {
    // Before its disk: what is dropped first ends first.
    process: Option<Process>,
    pub(crate) lab: &'a Lab,
    pub(crate) name: String,
    pub(crate) disk: BlockServer,
    pub(crate) console: Console,
    folder: PathBuf,
    program: Program,
    /// Its id at the platform.
    device: String,
}

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Whether the platform was told that it succeeded.
    pub(crate) is_success: bool,
    /// The start of the system that runs.
    pub(crate) boot: Boot,
}

/// Writes to each partition since the counts were reset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) boot: u64,
    pub(crate) root: u64,
    pub(crate) data: u64,
}

impl<'a> Machine<'a> {
    /// Makes a new machine, switches it on, lets it in, and waits until it has said what it runs.
    pub(crate) async fn begin(lab: &'a Lab, name: &str, number: u8) -> Result<Self> {
        let mut machine = Self::new(lab, lab.factory.clone(), name, number)?;
        machine.power_on()?;
        let started = machine.let_in(number).await;
        started.with_context(|| machine.last_words())?;
        Ok(machine)
    }

    /// Makes a machine with this disk, which is off.
    pub(crate) fn new(lab: &'a Lab, fresh: Arc<Fresh>, name: &str, number: u8) -> Result<Self> {
        let folder = lab.folder.join(name);
        fs::create_dir_all(&folder)?;
        let socket = folder.join("disk.socket");
        let disk = BlockServer::start(fresh, &socket, &[BOOT, ROOT_A.start..ROOT_B.end, DATA])?;
        let console = folder.join("console.log");
        let hardware = Hardware {
            accelerator: lab.speed.accelerator,
            disk: &socket,
            console: console.clone(),
            number,
        };
        let program = qemu(&hardware, &folder)?;
        Ok(Self {
            lab,
            name: name.to_owned(),
            disk,
            console: Console::new(console),
            folder,
            program,
            process: None,
            device: String::new(),
        })
    }

    async fn let_in(&mut self, number: u8) -> Result<()> {
        self.line(Mark::default(), &format!("vm: system {FACTORY}")).await?;
        self.device = self.lab.let_in(&format!("52:54:00:00:00:{number:02x}")).await?;
        let first = self.console.last_boot(Mark::default())?.context("no start on the console")?;
        self.runs(FACTORY, &first).await
    }

    /// Switches it on.
    pub(crate) fn power_on(&mut self) -> Result<()> {
        self.process = Some(self.program.start()?);
        Ok(())
    }

    /// Cuts its power: what it had not flushed is lost, as chance wants it.
    pub(crate) fn cut(&mut self, random: &mut impl Rng) -> Result<Loss> {
        self.disk.freeze();
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        let loss = self.disk.cut(random)?;
        // The next start begins on a line of its own.
        self.console.note(&format!("power cut: {loss:?}"))?;
        Ok(loss)
    }

    /// Tears the superblock of the data partition, as a power cut does that keeps one of its two
    /// sectors: the first is as the system wrote it last, the second as before it ever did. The
    /// machine must be off.
    pub(crate) fn tear_superblock(&mut self) -> Result<()> {
        let first = DATA.start + SUPERBLOCK..DATA.start + SUPERBLOCK + SECTOR_BYTES;
        let second = first.end..first.end + SECTOR_BYTES;
        ensure!(
            self.disk.content(first.clone())? != self.lab.factory.content(first)?,
            "the superblock was never written, so there is nothing to tear"
        );
        self.disk.lose(second)?;
        Ok(self.console.note("superblock of the data partition torn")?)
    }

    /// Waits for a line on the console that contains `text`; gives that line.
    pub(crate) async fn line(&mut self, since: Mark, text: &str) -> Result<String> {
        let limit = self.lab.speed.limit();
        let (console, process) = (&self.console, &mut self.process);
        wait::until(&format!("{text:?} on the console"), limit, || {
            let found = console
                .since(since)
                .map(|printed| printed.lines().find(|line| line.contains(text)).map(str::to_owned));
            let runs = process.as_mut().map_or(Ok(false), Process::runs);
            async move {
                match (found?, runs?) {
                    (Some(line), _) => Ok(Some(Ok(line))),
                    (None, true) => Ok(None),
                    (None, false) => Ok(Some(Err(anyhow::anyhow!("the machine is off")))),
                }
            }
        })
        .await?
    }

    /// Starts an update to a release on this machine alone; gives the deployment's id.
    pub(crate) async fn deploy(&self, release: &str) -> Result<String> {
        let name = format!("{} to {release}", self.name);
        self.lab.operator.deploy(&name, release, std::slice::from_ref(&self.device)).await
    }

    /// What the platform knows of this device in a deployment.
    async fn status(&self, deployment: &str) -> Result<String> {
        let statuses = self.lab.operator.device_statuses(deployment).await?;
        let own = statuses.into_iter().find(|(device, _)| *device == self.device);
        Ok(own.context("the device is not in its deployment")?.1)
    }

    /// Waits until the platform was told that an update has succeeded or failed; gives which.
    pub(crate) async fn ended(&self, deployment: &str) -> Result<String> {
        let limit = self.lab.speed.limit();
        wait::until_every(ASK_INTERVAL, "the end of the update", limit, || async {
            let status = self.status(deployment).await?;
            Ok(matches!(status.as_str(), "success" | "failure").then_some(status))
        })
        .await
    }

    /// Waits until an update from `old` to `new` has ended, one way or the other, and everybody
    /// says the same: the platform's report, the system that has started `since`, what its client
    /// has on record, and the boot loader's environment.
    pub(crate) async fn settled(
        &self,
        since: Mark,
        deployment: &str,
        old: &str,
        new: &str,
    ) -> Result<Settled> {
        let limit = self.lab.speed.limit();
        let status = self.ended(deployment).await?;
        let is_success = status == "success";
        let expected = if is_success { new } else { old };
        let what = format!("{expected:?} to run after a {status}");
        let boot = wait::until_every(ASK_INTERVAL, &what, limit, || async {
            let boot = self.console.last_boot(since)?.context("it has not started")?;
            self.is_running(expected, &boot).await?;
            self.is_chosen(&boot)?;
            Ok(Some(boot))
        })
        .await?;
        Ok(Settled { is_success, boot })
    }

    /// Waits until the platform has heard from this start of a system.
    async fn runs(&self, system: &str, boot: &Boot) -> Result<()> {
        let what = format!("news from {system:?}");
        wait::until_every(ASK_INTERVAL, &what, self.lab.speed.limit(), || async {
            self.is_running(system, boot).await.map(Some)
        })
        .await
    }

    /// Whether the newest inventory is from this start, and all in it says that `system` runs.
    async fn is_running(&self, system: &str, boot: &Boot) -> Result<()> {
        let path = format!("/api/management/v1/inventory/devices/{}", self.device);
        let device = self.lab.operator.get(&path).await?;
        let attributes = device["attributes"].as_array().context("no attributes")?;
        let value = |name: &str| {
            let found = attributes.iter().find(|attribute| attribute["name"] == name);
            found.and_then(|attribute| attribute["value"].as_str()).unwrap_or_default()
        };
        for (name, expected) in
            [("boot_id", boot.id.as_str()), ("system", system), ("artifact_name", system)]
        {
            let found = value(name);
            ensure!(found == expected, "the inventory says {name}={found} instead of {expected}");
        }
        ensure!(boot.system == system, "{boot:?} was started instead of {system}");
        Ok(())
    }

    /// Whether the boot loader would start this system again.
    pub(crate) fn is_chosen(&self, boot: &Boot) -> Result<()> {
        let environment = image::environment(&self.disk.content(BOOT)?)?;
        let value = |name| environment.get(name).map(String::as_str).unwrap_or_default();
        ensure!(
            value("mender_boot_part") == boot.partition && value("upgrade_available") == "0",
            "{boot:?} runs, but the boot loader's environment is {environment:?}"
        );
        Ok(())
    }

    /// Whether the platform has this machine's log of a failed update.
    pub(crate) async fn log_of(&self, deployment: &str) -> Result<String> {
        self.lab.operator.log(deployment, &self.device).await
    }

    /// How often it has written to its partitions.
    pub(crate) fn writes(&self) -> Result<Writes> {
        match self.disk.counts()[..] {
            [boot, root, data] => Ok(Writes { boot, root, data }),
            ref other => bail!("{} counts instead of three", other.len()),
        }
    }

    /// The end of its console log, for messages.
    pub(crate) fn last_words(&self) -> String {
        let printed = self.console.since(Mark::default()).unwrap_or_default();
        let lines: Vec<&str> = printed.lines().collect();
        let last = lines[lines.len().saturating_sub(25)..].join("\n    ");
        format!("the last lines of {}'s console:\n    {last}", self.name)
    }

    /// Keeps what is needed to find out what went wrong.
    pub(crate) fn keep(&mut self, folder: &Path) -> Result<PathBuf> {
        self.disk.freeze();
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        let place = folder.join(&self.name);
        fs::create_dir_all(&place)?;
        self.disk.save(&place.join("disk.img"))?;
        for log in ["console.log", "qemu.log"] {
            fs::copy(self.folder.join(log), place.join(log))?;
        }
        Ok(place)
    }
}
