//! Settings that every process or every service has; each is a flag, an environment variable
//! and a line of `--help`.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use crate::{
    Rpc,
    caller::Trust,
    rpc,
    run::ConfigError,
    server::Security,
    tls::{ClientCertificates, ClientTls, Identity, ServerTls},
};

/// What every process has.
#[derive(Debug, Clone, Args)]
pub struct ProcessSettings {
    /// Address of the plain port for /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "ROTA_ADMIN_LISTEN",
        default_value = "127.0.0.1:9464",
        value_name = "ADDRESS"
    )]
    pub admin_listen: SocketAddr,
    /// What to log: a level, or directives such as `info,rota_deployments=debug`.
    #[arg(long, env = "ROTA_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How to log.
    #[arg(long, env = "ROTA_LOG_FORMAT", default_value = "auto", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// OpenTelemetry collector (gRPC) that traces are sent to; none are sent without it.
    #[arg(long, env = "ROTA_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Seconds that requests under way get to finish at shutdown.
    #[arg(long, env = "ROTA_SHUTDOWN_SECONDS", default_value = "30", value_name = "SECONDS",
          value_parser = seconds)]
    pub shutdown_seconds: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Readable where standard error is a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// Readable.
    Text,
}

/// What a process has that calls services in other processes.
#[derive(Debug, Clone, Default, Args)]
pub struct PeerSettings {
    /// This process's certificate for calls between services (PEM chain).
    #[arg(long, env = "ROTA_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "ROTA_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The authority of all services' certificates (PEM).
    #[arg(long, env = "ROTA_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Calls without TLS, on loopback addresses only: for tests.
    #[arg(long, env = "ROTA_INSECURE_LOOPBACK")]
    pub insecure_loopback: bool,
    /// Where deviceauth is: https://host:port, several replicas separated by commas.
    #[arg(long, env = "ROTA_DEVICEAUTH_URL", value_name = "URLS")]
    pub deviceauth_url: Option<String>,
    /// Where inventory is.
    #[arg(long, env = "ROTA_INVENTORY_URL", value_name = "URLS")]
    pub inventory_url: Option<String>,
    /// Where deployments is.
    #[arg(long, env = "ROTA_DEPLOYMENTS_URL", value_name = "URLS")]
    pub deployments_url: Option<String>,
    /// Where workflows is.
    #[arg(long, env = "ROTA_WORKFLOWS_URL", value_name = "URLS")]
    pub workflows_url: Option<String>,
    /// Where accounts is.
    #[arg(long, env = "ROTA_ACCOUNTS_URL", value_name = "URLS")]
    pub accounts_url: Option<String>,
}

impl PeerSettings {
    /// The addresses of a service, if its setting is given.
    fn addresses(&self, service: &str) -> Option<&str> {
        let setting = match service {
            "deviceauth" => &self.deviceauth_url,
            "inventory" => &self.inventory_url,
            "deployments" => &self.deployments_url,
            "workflows" => &self.workflows_url,
            "accounts" => &self.accounts_url,
            _ => &None,
        };
        setting.as_deref()
    }

    /// A transport to another service, from the setting `--<service>-url`.
    pub fn rpc(&self, service: &'static str) -> Result<Rpc, ConfigError> {
        let addresses = self.addresses(service).ok_or_else(|| {
            let variable = service.to_uppercase();
            ConfigError::new(format!("--{service}-url (ROTA_{variable}_URL) is needed"))
        })?;
        let rpc = if self.insecure_loopback {
            rpc::connect_insecure(service, addresses)
        } else {
            rpc::connect(service, addresses, &self.client_tls()?)
        };
        rpc.map_err(|error| ConfigError::new(sentence(&error)))
    }

    /// Certificate, key and authority, which go together.
    pub fn client_tls(&self) -> Result<ClientTls, ConfigError> {
        match (&self.tls_cert, &self.tls_key, &self.tls_ca) {
            (Some(cert), Some(key), Some(ca)) => Ok(ClientTls {
                identity: Identity { cert: cert.clone(), key: key.clone() },
                ca: ca.clone(),
            }),
            _ => Err(ConfigError::new(
                "--tls-cert, --tls-key and --tls-ca (ROTA_TLS_CERT, ROTA_TLS_KEY, ROTA_TLS_CA) \
                 are needed for calls between services",
            )),
        }
    }
}

/// What a service in a process of its own has.
#[derive(Debug, Clone, Args)]
pub struct ServeSettings {
    /// Address to serve gRPC on.
    #[arg(long, env = "ROTA_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Names in client certificates that may say on whose behalf they call.
    #[arg(
        long,
        env = "ROTA_TRUSTED_PEERS",
        value_delimiter = ',',
        value_name = "NAMES",
        default_value = "gateway,deviceauth,inventory,deployments,workflows,accounts"
    )]
    pub trusted_peers: Vec<String>,
}

impl ServeSettings {
    pub(crate) fn security(&self, peers: &PeerSettings) -> Result<Security, ConfigError> {
        if peers.insecure_loopback {
            return Ok(Security::InsecureLoopback);
        }
        let ClientTls { identity, ca } = peers.client_tls()?;
        let names: BTreeSet<_> = self.trusted_peers.iter().cloned().collect();
        Ok(Security::MutualTls {
            tls: ServerTls { identity, clients: ClientCertificates::Required(ca) },
            trust: Trust::Certificates(names),
        })
    }
}

/// Reads a number of seconds: a `value_parser` for clap.
pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| "expected a whole number of seconds".to_owned())
}

/// An error with its causes in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
