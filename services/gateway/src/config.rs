//! The gateway's settings; each is a flag and an environment variable.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use rota_runtime::{
    listen::Limits,
    settings::seconds,
    tls::{ClientCertificates, Identity, ServerTls},
};

use crate::address::Network;

/// What a gateway can be told.
#[derive(Debug, Clone, Args)]
#[group(id = "gateway")]
pub struct Config {
    /// Where devices and people reach the gateway: `https://rota.example.com`. Download links
    /// begin with it; without it, with whatever address a request was sent to.
    #[arg(long, env = "ROTA_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,
    /// Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or ranges.
    #[arg(long, env = "ROTA_TRUSTED_PROXIES", value_delimiter = ',', value_name = "RANGES")]
    pub trusted_proxies: Vec<Network>,
    /// Authentication requests a second that one address may send in the long run.
    #[arg(long, env = "ROTA_AUTH_REQUESTS_PER_SECOND", default_value = "100", value_name = "N")]
    pub auth_requests_per_second: NonZeroU32,
    /// Authentication requests that one address may send at once.
    #[arg(long, env = "ROTA_AUTH_REQUESTS_BURST", default_value = "1000", value_name = "N")]
    pub auth_requests_burst: NonZeroU32,
    /// Sign-ins a second that one address may try in the long run.
    #[arg(long, env = "ROTA_SIGN_INS_PER_SECOND", default_value = "2", value_name = "N")]
    pub sign_ins_per_second: NonZeroU32,
    /// Sign-ins that one address may try at once.
    #[arg(long, env = "ROTA_SIGN_INS_BURST", default_value = "20", value_name = "N")]
    pub sign_ins_burst: NonZeroU32,
    /// Requests under way at the same time; more are told to come again.
    #[arg(long, env = "ROTA_MAX_REQUESTS", default_value = "4096", value_name = "N")]
    pub max_requests: NonZeroUsize,
    /// Uploads and downloads under way at the same time; more are told to come again.
    #[arg(long, env = "ROTA_MAX_TRANSFERS", default_value = "2048", value_name = "N")]
    pub max_transfers: NonZeroUsize,
    /// Seconds that a request may take, uploads and downloads aside.
    #[arg(long, env = "ROTA_REQUEST_SECONDS", default_value = "60", value_name = "SECONDS",
          value_parser = seconds)]
    pub request_seconds: Duration,
    /// Seconds that an upload, or the source of a download, may stand still.
    #[arg(long, env = "ROTA_TRANSFER_IDLE_SECONDS", default_value = "60", value_name = "SECONDS",
          value_parser = seconds)]
    pub transfer_idle_seconds: Duration,
    /// Seconds that a client may take nothing of its answer before it is cut off. One that is
    /// slow is not; over HTTP/2 that is one that takes 1 MB in this time.
    #[arg(long, env = "ROTA_CLIENT_STALL_SECONDS", default_value = "120", value_name = "SECONDS",
          value_parser = at_least_a_second)]
    pub client_stall_seconds: Duration,
}

/// Where a gateway in a process of its own is reached.
#[derive(Debug, Clone, Args)]
pub struct Https {
    /// Address to serve devices and people on.
    #[arg(long, env = "ROTA_HTTPS_LISTEN", default_value = "[::]:8443", value_name = "ADDRESS")]
    pub https_listen: SocketAddr,
    /// Certificate that devices and people see (PEM chain); it follows the file.
    #[arg(long, env = "ROTA_HTTPS_CERT", value_name = "FILE")]
    pub https_cert: PathBuf,
    /// Its private key (PEM).
    #[arg(long, env = "ROTA_HTTPS_KEY", value_name = "FILE")]
    pub https_key: PathBuf,
}

impl Https {
    /// How TLS is served to strangers.
    pub fn tls(&self) -> ServerTls {
        ServerTls {
            identity: Identity { cert: self.https_cert.clone(), key: self.https_key.clone() },
            clients: ClientCertificates::NotAsked,
        }
    }
}

impl Config {
    /// What the listener before the gateway allows.
    pub fn listener_limits(&self) -> Limits {
        Limits { stall: self.client_stall_seconds, ..Limits::default() }
    }
}

fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let limit = seconds(text)?;
    if limit.is_zero() { Err("expected at least one second".to_owned()) } else { Ok(limit) }
}

/// The beginning of every absolute link: scheme, host and perhaps a path, without a slash at
/// the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A text that no link can begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected https://host or https://host:port")]
pub struct InvalidPublicUrl;

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: axum::http::Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if is_web && has_host && uri.query().is_none() && !text.contains(['#', '@']) {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(InvalidPublicUrl)
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn a_public_url_is_where_links_begin() {
        let parse = |text: &str| text.parse::<PublicUrl>().map(|url| url.to_string());
        assert_eq!(parse("https://rota.example.com/"), Ok("https://rota.example.com".into()));
        assert_eq!(parse("http://127.0.0.1:80/x/"), Ok("http://127.0.0.1:80/x".into()));
        for text in ["", "rota.example.com", "ftp://a", "https://", "https://a?b", "https://u@h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused() {
        assert!(Program::try_parse_from(["gateway", "--max-requests", "0"]).is_err());
        assert!(Program::try_parse_from(["gateway", "--client-stall-seconds", "0"]).is_err());
        assert!(Program::try_parse_from(["gateway", "--trusted-proxies", "10.0.0.0/40"]).is_err());
        let program = Program::try_parse_from(["gateway", "--trusted-proxies", "::1,10.0.0.0/8"]);
        assert_eq!(program.unwrap().config.trusted_proxies.len(), 2);
    }
}
