//! `setup`: writes `mender.conf` and `device_type`, as flags say or as a person answers.
//!
//! Nothing is written before every answer is good, and then each file is replaced as a whole.

mod answers;
mod wizard;

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use rota_client::{
    config::{Config, Paths, Settings, read_device_type, write_device_type},
    log::{Level, Log, chain},
    server::{SessionSettings, probe},
    wake::Wake,
};

use super::{Exit, arguments::Common, complain, device, say};
use answers::{Answers, host};
use wizard::Wizard;

/// How long to wait for a sign of life of the server.
const PROBE: Duration = Duration::from_secs(15);

const HOSTS: &str = "/etc/hosts";

/// Where Mender's demonstration server is.
const DEMO_SERVER: &str = "https://docker.mender.io";
const DEMO_ADDRESS: &str = "127.0.0.1";

/// What the command line says. Every value is checked as an answer would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) device_type: Option<String>,
    pub(super) server_url: Option<String>,
    pub(super) server_ip: Option<String>,
    pub(super) server_certificate: Option<PathBuf>,
    pub(super) tenant_token: Option<String>,
    pub(super) update_poll: Option<String>,
    pub(super) inventory_poll: Option<String>,
    pub(super) retry_poll: Option<String>,
    pub(super) demo_server: bool,
    pub(super) demo_polling: bool,
    pub(super) hosts_file: Option<PathBuf>,
    pub(super) quiet: bool,
}

impl Flags {
    /// Those that Mender's demonstrations stand for, unless the command line says otherwise.
    fn with_demo(mut self) -> Self {
        if self.demo_server {
            self.server_url.get_or_insert_with(|| DEMO_SERVER.to_owned());
            self.server_ip.get_or_insert_with(|| DEMO_ADDRESS.to_owned());
        }
        if self.demo_polling {
            self.update_poll.get_or_insert_with(|| "5".to_owned());
            self.inventory_poll.get_or_insert_with(|| "5".to_owned());
            self.retry_poll.get_or_insert_with(|| "30".to_owned());
        }
        self
    }
}

pub(super) fn run(common: &Common, flags: &Flags) -> anyhow::Result<Exit> {
    let server_certificate = common.trusted_certs.clone();
    let flags = Flags { server_certificate, ..flags.clone() }.with_demo();
    let paths = device::paths(common);
    let config_path = common.config.clone().unwrap_or_else(|| paths.main_config());
    let mut config = Config::read(&config_path)?;
    let type_path = config.text("DeviceTypeFile").map(PathBuf::from);
    let type_path = type_path.unwrap_or_else(|| paths.device_type(&Settings::default()));

    // A file that is missing or damaged is about to be replaced.
    let present_type = read_device_type(&type_path).ok();
    let defaults = Answers::defaults(&config, present_type);
    let mut answers = defaults.with_flags(&flags)?;
    let is_complete = flags.device_type.is_some() && flags.server_url.is_some();
    if !is_complete && io::stdin().is_terminal() {
        let mut wizard = Wizard::new(io::stdin().lock(), io::stderr());
        answers = wizard.ask(answers, &flags, |answers| reach(answers, common, &paths))?;
    } else {
        answers.check_complete()?;
        if !flags.quiet
            && let Err(error) = reach(&answers, common, &paths)
        {
            complain(&format!("warning: {error:#}"));
        }
    }

    config.change(&answers.changes());
    if type_path.starts_with(&paths.data) {
        device::make_data_folder(&paths)?;
    }
    write_device_type(&type_path, &answers.device_type)?;
    config.write(&config_path)?;
    if let Some(address) = answers.server_ip {
        let hosts = flags.hosts_file.as_deref().unwrap_or(Path::new(HOSTS));
        add_host(hosts, address, host(&answers.server_url).unwrap_or_default())?;
    }
    if !flags.quiet {
        say(&format!("Wrote {} and {}.", config_path.display(), type_path.display()));
        say("Restart the client for them to take effect: systemctl restart rota-client");
    }
    Ok(Exit::Success)
}

/// Tries whether the server can be reached. A name that is only going to be in the hosts file is
/// not tried.
fn reach(answers: &Answers, common: &Common, paths: &Paths) -> anyhow::Result<()> {
    if answers.server_ip.is_some() {
        return Ok(());
    }
    let settings = Settings {
        server_certificate: answers.server_certificate.clone(),
        skip_verify: common.skip_verify,
        ..Settings::default()
    };
    let session = SessionSettings::new(&settings, paths);
    let (server, level) = (answers.server_url.clone(), common.log_level.unwrap_or(Level::Error));
    let (sender, outcome) = mpsc::sync_channel(1);
    // A server that says nothing keeps this thread; it ends with the process.
    thread::spawn(move || {
        let log = Log::new(level, Box::new(io::stderr()));
        sender.send(probe(&server, &session, &Wake::default(), &log))
    });
    match outcome.recv_timeout(PROBE) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => bail!("the server cannot be reached: {}", chain(&error)),
        Err(_) => bail!("the server did not answer within {} s", PROBE.as_secs()),
    }
}

/// Adds a line to the hosts file, unless it is there.
fn add_host(path: &Path, address: IpAddr, host: &str) -> anyhow::Result<()> {
    let context = || format!("cannot add {host} to {}", path.display());
    let mut file = File::options().create(true).read(true).append(true).open(path);
    let file = file.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()));
    let file = file.with_context(context)?;
    let mut present = String::new();
    file.read_to_string(&mut present).with_context(context)?;
    let line = format!("{address} {host}");
    if present.lines().any(|there| there == line) {
        return Ok(());
    }
    // One write, so that a power cut leaves all of the line or nothing that is read as one.
    let gap = if present.is_empty() || present.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{gap}{line}\n").as_bytes()).with_context(context)?;
    file.sync_all().with_context(context)
}
