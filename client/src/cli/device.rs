//! The parts of the client, put together from the command line and the configuration.

use std::{cell::OnceCell, fs::File, path::PathBuf};

use anyhow::Context;
use rota_client::{
    bootstrap::name_software,
    config::{self, ConfigFile, ConfigFiles, Paths, Settings},
    inventory::{InventoryError, inventory},
    journal::{FileStore, Store},
    log::{DeploymentLogs, Level, Log},
    modules::{ModuleSettings, UpdateModules},
    power::RebootCommand,
    private_files,
    process::Mark,
    records::Software,
    runner::{Inventory, Runner, World},
    scripts::StateScripts,
    server::{Authority, Session, SessionSettings},
    takeover::{OldClient, take_over},
    wake::Wake,
};
use rota_rest::device::Attribute;

use super::{
    arguments::Common,
    presence::{Presence, ShownClock},
    progress::Console,
};

/// A configured device.
pub(super) struct Device {
    pub(super) settings: Settings,
    pub(super) paths: Paths,
    pub(super) store: FileStore,
    pub(super) wake: Wake,
    pub(super) log: Log,
    /// Where the log goes, unless that is standard error.
    pub(super) log_file: Option<File>,
    authority: OnceCell<Authority>,
    /// What the log writes to, unless that is a file.
    pub(super) console: Console,
    /// Of the daemon, as long as it runs.
    pub(super) presence: Option<Presence>,
}

impl Device {
    /// Reads the configuration and opens the log.
    pub(super) fn open(arguments: &Common) -> anyhow::Result<Self> {
        let paths = paths(arguments);
        let files = ConfigFiles {
            fallback: config_file(arguments.fallback_config.as_ref(), paths.fallback_config()),
            main: config_file(arguments.config.as_ref(), paths.main_config()),
        };
        let (mut settings, warnings) = config::load(&files)?;
        settings.skip_verify |= arguments.skip_verify;
        if arguments.allow_downgrade {
            settings.downgrade_protection.clear();
        }
        if let Some(path) = &arguments.trusted_certs {
            settings.server_certificate = Some(path.clone());
        }
        let console = Console::default();
        let (log, log_file) = open_log(arguments, &settings, &console)?;
        for warning in warnings {
            log.warning(warning);
        }
        let store = FileStore::new(&paths.data);
        let authority = OnceCell::new();
        let wake = Wake::default();
        Ok(Self { settings, paths, store, wake, log, log_file, authority, console, presence: None })
    }

    /// Makes sure that there is a place to write to and that the software has a name.
    pub(super) fn prepare(&mut self) -> anyhow::Result<Software> {
        make_data_folder(&self.paths)?;
        self.close_data_folder();
        take_over(&mut self.store, &OldClient::new(&self.paths, &self.settings), &self.log)?;
        let bootstrap = self.paths.bootstrap_artifact();
        let artifact_info = self.paths.artifact_info();
        Ok(name_software(&mut self.store, &bootstrap, &artifact_info, &self.log)?)
    }

    /// Where it cannot be closed, a device that can still be updated is better than one that cannot.
    fn close_data_folder(&self) {
        let data = self.paths.data.display();
        match private_files::close_folder(&self.paths.data) {
            Ok(None) => {}
            Ok(Some(mode)) => self.log.warning(format_args!(
                "the data folder {data} had mode {mode:o}; others can no longer write to it"
            )),
            Err(error) => self.log.warning(format_args!(
                "others may write to the data folder {data}, which cannot be changed: {error}"
            )),
        }
    }

    /// Keeps other processes from starting an update as long as this one lives; `false` if one of
    /// them has done so.
    pub(super) fn claim_update(&mut self) -> anyhow::Result<bool> {
        Ok(self.store.claim_update()?)
    }

    /// Where all of this process get the device's token.
    pub(super) fn authority(&self) -> Authority {
        let new = || {
            let settings = SessionSettings::new(&self.settings, &self.paths);
            Authority::new(settings, self.wake.clone(), self.log.clone())
        };
        self.authority.get_or_init(new).clone()
    }

    pub(super) fn session(&self) -> Session {
        Session::new(self.authority(), self.wake.clone(), self.log.clone())
    }

    fn update_modules(&self, mark: Mark) -> UpdateModules {
        let settings = ModuleSettings::new(&self.settings, &self.paths, mark);
        UpdateModules::new(settings, self.wake.clone(), self.log.clone())
    }

    /// Gives `use_runner` a runner on this device.
    pub(super) fn with_runner<T>(&mut self, use_runner: impl FnOnce(&mut Runner<'_>) -> T) -> T {
        let (wake, log) = (&self.wake, &self.log);
        let mut session = self.session();
        let mark = Mark::new(&self.paths.data);
        let mut installer = self.update_modules(mark.clone());
        let mut scripts = StateScripts {
            rootfs_folder: self.paths.rootfs_scripts(),
            artifact_folder: self.paths.artifact_scripts(),
            times: self.settings.script_times,
            mark: mark.clone(),
            wake: wake.clone(),
            log: log.clone(),
        };
        let mut power = RebootCommand {
            command: self.settings.reboot_command.clone(),
            wake: wake.clone(),
            log: log.clone(),
        };
        let mut inventory = InventoryScripts {
            folder: self.paths.inventory_scripts(),
            settings: self.settings.clone(),
            wake: wake.clone(),
            log: log.clone(),
        };
        let world = World {
            store: &mut self.store,
            server: &mut session,
            installer: &mut installer,
            scripts: &mut scripts,
            inventory: &mut inventory,
            power: &mut power,
            clock: &ShownClock::new(wake.clone(), self.presence.as_ref()),
            logs: &DeploymentLogs::new(self.paths.deployment_logs(&self.settings)),
            mark: &mark,
            log,
        };
        use_runner(&mut Runner::new(&self.settings, world))
    }
}

struct InventoryScripts {
    folder: PathBuf,
    settings: Settings,
    wake: Wake,
    log: Log,
}

impl Inventory for InventoryScripts {
    fn collect(&mut self) -> Result<Vec<Attribute>, InventoryError> {
        inventory(&self.folder, &self.settings, &self.wake, &self.log)
    }
}

pub(super) fn paths(arguments: &Common) -> Paths {
    let mut paths = Paths::from_environment(|name| std::env::var_os(name).map(PathBuf::from));
    for (place, flag) in [
        (&mut paths.config, &arguments.config_dir),
        (&mut paths.share, &arguments.share_dir),
        (&mut paths.data, &arguments.data_dir),
    ] {
        if let Some(folder) = flag {
            place.clone_from(folder);
        }
    }
    // Modules run in a folder of their own, so relative paths would lead elsewhere.
    for place in [&mut paths.config, &mut paths.share, &mut paths.data] {
        if let Ok(absolute) = std::path::absolute(&*place) {
            *place = absolute;
        }
    }
    paths
}

pub(super) fn make_data_folder(paths: &Paths) -> anyhow::Result<()> {
    let data = &paths.data;
    private_files::make_folder(data)
        .with_context(|| format!("cannot create the data folder {}", data.display()))
}

fn config_file(named: Option<&PathBuf>, default: PathBuf) -> ConfigFile {
    match named {
        Some(path) => ConfigFile { path: path.clone(), is_explicit: true },
        None => ConfigFile { path: default, is_explicit: false },
    }
}

fn open_log(
    arguments: &Common,
    settings: &Settings,
    console: &Console,
) -> anyhow::Result<(Log, Option<File>)> {
    let level = arguments.log_level.or(settings.log_level).unwrap_or(Level::Info);
    let Some(path) = &arguments.log_file else {
        return Ok((Log::new(level, Box::new(console.clone())), None));
    };
    let cannot_open = || format!("cannot open the log file {}", path.display());
    let file = File::options().create(true).append(true).open(path).with_context(cannot_open)?;
    let log = Log::new(level, Box::new(file.try_clone().with_context(cannot_open)?));
    Ok((log, Some(file)))
}
