//! The platform, in both forms that it is run in: one process, or many.

mod one;
mod separate;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rota_stack::ReservedPort;

use crate::{
    device::Home,
    operator::Operator,
    process::{Process, Program},
};

/// How long a platform may take until it lets an operator sign in.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How a platform is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `rota-server`: everything in one process, with its own database.
    OneProcess,
    /// Each service in two processes of its own, two gateways, mutual TLS between them, a real
    /// broker and a real object store.
    Separate,
}

/// A kind of process, of which a platform runs one or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Server,
    Gateway,
    Accounts,
    Deviceauth,
    Inventory,
    Deployments,
    Workflows,
}

impl Part {
    /// The kinds of the separate form.
    pub const SEPARATE: [Self; 6] = [
        Self::Gateway,
        Self::Accounts,
        Self::Deviceauth,
        Self::Inventory,
        Self::Deployments,
        Self::Workflows,
    ];

    /// The name: of the service, of its certificate, of its log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Gateway => "gateway",
            Self::Accounts => "accounts",
            Self::Deviceauth => "deviceauth",
            Self::Inventory => "inventory",
            Self::Deployments => "deployments",
            Self::Workflows => "workflows",
        }
    }
}

/// A running platform; everything ends with it.
pub struct Platform {
    // Processes before back-ends: what is dropped first ends first.
    processes: Vec<(Part, Process)>,
    gateways: Vec<String>,
    certificate: PathBuf,
    email: String,
    password: String,
    backends: Option<separate::Backends>,
    // Held while processes are stopped and started again.
    _ports: Vec<ReservedPort>,
}

impl Platform {
    /// Starts a platform in `folder`, which must be empty.
    pub async fn start(form: Form, folder: &Path) -> Result<Self> {
        match form {
            Form::OneProcess => one::start(folder).await,
            Form::Separate => separate::start(folder).await,
        }
    }

    /// Signs the administrator in at the first gateway.
    pub async fn operator(&self) -> Result<Operator> {
        let base = self.gateways.first().context("a platform without a gateway")?;
        Operator::sign_in(base, &self.certificate, &self.email, &self.password).await
    }

    /// The gateways' addresses.
    pub fn gateways(&self) -> &[String] {
        &self.gateways
    }

    /// The certificate to trust (PEM).
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The administrator's e-mail address and password.
    pub fn administrator(&self) -> (&str, &str) {
        (&self.email, &self.password)
    }

    /// What a device in the default tenant has to know; devices are spread over the gateways.
    pub fn home(&self, serial: usize) -> Home {
        Home {
            server: self.gateways[serial % self.gateways.len()].clone(),
            certificate: self.certificate.clone(),
            tenant_token: String::new(),
        }
    }

    /// `rota-accounts`, as whoever runs the platform calls it; absent where the platform keeps
    /// its database to itself.
    pub fn accounts_command(&self) -> Result<Option<Program>> {
        self.backends.as_ref().map(separate::Backends::accounts_command).transpose()
    }

    /// How many processes of a kind there are.
    pub fn replicas(&self, part: Part) -> usize {
        self.processes.iter().filter(|(kind, _)| *kind == part).count()
    }

    /// Kills replica `index` of a kind (-9).
    pub fn kill(&mut self, part: Part, index: usize) -> Result<()> {
        self.process(part, index)?.kill()?;
        Ok(())
    }

    /// Starts a killed replica again.
    pub fn restart(&mut self, part: Part, index: usize) -> Result<()> {
        self.process(part, index)?.restart()
    }

    /// What replica `index` of a kind has printed.
    pub fn printed(&mut self, part: Part, index: usize) -> Result<String> {
        self.process(part, index)?.printed()
    }

    /// Asks every process to end, and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        for (_, process) in &mut self.processes {
            process.signal(rustix::process::Signal::TERM)?;
        }
        for (part, process) in &mut self.processes {
            let status = process.stop().await?;
            ensure!(status.success(), "{} ended with {status}", part.name());
        }
        Ok(())
    }

    /// What every process has printed, for whoever looks for a reason.
    pub fn all_printed(&self) -> String {
        let printed = self.processes.iter().map(|(part, process)| {
            let printed = process.printed().unwrap_or_else(|error| error.to_string());
            format!("--- {}\n{printed}\n", part.name())
        });
        printed.collect()
    }

    fn process(&mut self, part: Part, index: usize) -> Result<&mut Process> {
        let mut replicas = self.processes.iter_mut().filter(|(kind, _)| *kind == part);
        let (_, process) =
            replicas.nth(index).with_context(|| format!("no {} {index}", part.name()))?;
        Ok(process)
    }
}

/// The word after a label in what a program printed: `  password     abc`.
fn labelled(line: &str, label: &str) -> Option<String> {
    let rest = line.trim().strip_prefix(label)?;
    rest.starts_with(char::is_whitespace)
        .then(|| rest.split_whitespace().next())?
        .map(str::to_owned)
}
