//! A private nats-server with JetStream.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Identity, StackError, account::Account, binaries, guard::Guard};

/// How long a start may take; streams are checked first.
const START: Duration = Duration::from_secs(30);

/// How long a stop may take.
const STOP: Duration = Duration::from_secs(10);

/// Where nats-server lives, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// A directory for it alone; made when it is not there. Streams and log are in it.
    pub dir: PathBuf,
    /// The port on 127.0.0.1; any free one when there is none named.
    pub port: Option<u16>,
    /// The server's certificate. With one, clients must show theirs, of the same authority.
    pub tls: Option<Identity>,
}

impl NatsOptions {
    /// A server in `dir` on a free port, without TLS.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), port: None, tls: None }
    }
}

/// A running nats-server. Dropped, it is told to stop and not waited for.
#[derive(Debug)]
pub struct Nats {
    url: String,
    guard: Guard,
}

impl Nats {
    /// Starts nats-server; streams from an earlier start are there again.
    pub async fn start(options: NatsOptions) -> Result<Self, StackError> {
        let program = binaries::nats_server()?;
        let ports = options.dir.join("ports");
        // Of an earlier start, which may not have ended by itself.
        let _ = fs::remove_dir_all(&ports);
        fs::create_dir_all(&ports).map_err(StackError::file("create", &ports))?;
        let port = options.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let store = options.dir.join("jetstream");
        let log = options.dir.join("nats.log");
        let text = |path: &Path| path.display().to_string();
        let mut command = vec![text(&program), "--addr".to_owned(), "127.0.0.1".to_owned()];
        command.extend(["--port".to_owned(), port, "--jetstream".to_owned()]);
        command.extend(["--store_dir".to_owned(), text(&store)]);
        command.extend(["--ports_file_dir".to_owned(), text(&ports)]);
        if let Some(tls) = &options.tls {
            command.extend(["--tlsverify".to_owned(), "--tlscacert".to_owned(), text(&tls.ca)]);
            command.extend(["--tlscert".to_owned(), text(&tls.certificate)]);
            command.extend(["--tlskey".to_owned(), text(&tls.key)]);
        }
        let mut guard = Guard::start(&command, "TERM", &Account::Own, &log)?;
        let port = guard.wait_ready(START, || listening(&ports)).await?;
        let scheme = if options.tls.is_some() { "tls" } else { "nats" };
        // By name, which is what the certificate is checked against.
        let host = if options.tls.is_some() { "localhost" } else { "127.0.0.1" };
        Ok(Self { url: format!("{scheme}://{host}:{port}"), guard })
    }

    /// `nats://127.0.0.1:port`, or `tls://localhost:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and waits for it.
    pub async fn stop(mut self) {
        if !self.guard.stop(STOP).await {
            tracing::warn!(url = self.url, "nats-server does not stop");
        }
    }
}

/// The port that the server has written down, once it listens.
fn listening(ports: &Path) -> Option<u16> {
    let entry = fs::read_dir(ports).ok()?.flatten().next()?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
    let url = ports.get("nats")?.get(0)?.as_str()?;
    url.rsplit(':').next()?.parse().ok()
}
