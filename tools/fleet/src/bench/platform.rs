//! The platform that is measured: Postgres and `rota-server`, as processes of their own.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rota_fleet::{
    connection::{Gateway, Keep, Line},
    operator::Operator,
};
use rota_stack::{Postgres, PostgresOptions, ReservedPort};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::measure;

/// How long the platform may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(90);

/// One of our programs, beside this one.
pub(crate) fn ours(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "{} is not built; run `make bench`", path.display());
    Ok(path)
}

/// A running platform; everything ends with it.
pub(crate) struct Platform {
    /// Its gateway.
    pub(crate) gateway: Gateway,
    /// Its operator.
    pub(crate) operator: Operator,
    /// Its certificate and key (PEM), for the bare handler to show the same.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    server: Child,
    /// The process id of Postgres, above all its others.
    database: u32,
    // Held for their ends.
    _ports: [ReservedPort; 2],
    _postgres: Postgres,
    folder: TempDir,
}

impl Platform {
    /// Starts it, with limits that let a whole fleet in from one address.
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("rota-bench").tempdir()?;
        let postgres = Postgres::start(PostgresOptions::new(folder.path().join("postgres")))
            .await
            .context("cannot start Postgres")?;
        let database = postmaster(&folder.path().join("postgres/data"))?;
        let data = folder.path().join("data");
        let ports = [ReservedPort::take()?, ReservedPort::take()?];
        let [address, admin] = ports.each_ref().map(ReservedPort::address);
        let log = folder.path().join("rota-server.log");
        let server = Command::new(ours("rota-server")?)
            .arg("--data-dir")
            .arg(&data)
            .args(["--https-listen", &address.to_string(), "--admin-listen"])
            .arg(admin.to_string())
            .args(["--log", "warn"])
            .args(["--auth-requests-per-second", "1000000", "--auth-requests-burst", "1000000"])
            .env("ROTA_DATABASE_URL", postgres.url().expose_secret())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log)?)
            .stderr(fs::File::options().append(true).open(&log)?)
            .spawn()
            .context("cannot start rota-server")?;
        let (email, password) = ready(&log).await?;
        let certificate = data.join("tls/server.crt");
        let key = data.join("tls/server.key");
        let gateway = Gateway::new(address, "localhost", &certificate)?;
        let mut line = gateway.line(Keep::Kept);
        let operator = Operator::sign_in(&mut line, &email, &password).await?;
        Ok(Self {
            gateway,
            operator,
            certificate,
            key,
            server,
            database,
            _ports: ports,
            _postgres: postgres,
            folder,
        })
    }

    /// A kept line for the operator.
    pub(crate) fn line(&self) -> Line {
        self.gateway.line(Keep::Kept)
    }

    /// Seconds of CPU that the server and its database have used so far.
    pub(crate) fn cpu(&self) -> Result<(f64, f64)> {
        Ok((measure::cpu_of_tree(self.server.id())?, measure::cpu_of_tree(self.database)?))
    }

    /// A folder that ends with the platform.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Nothing can be done about a process that cannot be killed.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The process id in the first line of `postmaster.pid` (`PostgreSQL`, database file layout).
fn postmaster(data: &std::path::Path) -> Result<u32> {
    let path = data.join("postmaster.pid");
    let text = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    text.lines().next().and_then(|line| line.parse().ok()).context("postmaster.pid is damaged")
}

/// Waits until the server has printed how to sign in.
async fn ready(log: &std::path::Path) -> Result<(String, String)> {
    let end = Instant::now() + START_LIMIT;
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        let word = |label: &str| {
            text.lines()
                .find_map(|line| line.trim().strip_prefix(label))
                .and_then(|rest| rest.split_whitespace().next())
                .map(str::to_owned)
        };
        if let (Some(email), Some(password)) = (word("e-mail"), word("password")) {
            return Ok((email, password));
        }
        if Instant::now() > end {
            bail!("rota-server was not ready within {START_LIMIT:?}:\n{text}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
