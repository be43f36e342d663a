//! What `setup` has to know, and what a good answer is.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::bail;
use rota_client::config::{Changes, Config, Settings};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::Flags;

/// Shorter intervals only make noise; the limit is that of Mender's tool.
const SHORTEST_SECONDS: u64 = 5;

/// Longer than a year is a slip.
const LONGEST_SECONDS: u64 = 365 * 86_400;

const MAX_DEVICE_TYPE_BYTES: usize = 256;

/// One answer for each question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) device_type: String,
    pub(super) server_url: String,
    pub(super) server_ip: Option<IpAddr>,
    pub(super) server_certificate: Option<PathBuf>,
    pub(super) tenant_token: String,
    pub(super) update_poll: Duration,
    pub(super) inventory_poll: Duration,
    pub(super) retry_poll: Duration,
}

impl Answers {
    /// What the device says now, and else what the client does by itself.
    pub(super) fn defaults(config: &Config, device_type: Option<String>) -> Self {
        let settings = Settings::default();
        let seconds = |key, default| config.seconds(key).unwrap_or(default);
        Self {
            device_type: device_type.unwrap_or_default(),
            server_url: config.text("ServerURL").unwrap_or_default(),
            server_ip: None,
            server_certificate: config.text("ServerCertificate").map(PathBuf::from),
            tenant_token: config.text("TenantToken").unwrap_or_default(),
            update_poll: seconds("UpdatePollIntervalSeconds", settings.update_poll_interval),
            inventory_poll: seconds(
                "InventoryPollIntervalSeconds",
                settings.inventory_poll_interval,
            ),
            retry_poll: seconds("RetryPollIntervalSeconds", settings.retry_poll_interval),
        }
    }

    /// Takes over what the command line says.
    pub(super) fn with_flags(mut self, flags: &Flags) -> anyhow::Result<Self> {
        take(&mut self.device_type, flags.device_type.as_deref(), "--device-type", device_type)?;
        take(&mut self.server_url, flags.server_url.as_deref(), "--server-url", server_url)?;
        take(&mut self.tenant_token, flags.tenant_token.as_deref(), "--tenant-token", word)?;
        take(&mut self.update_poll, flags.update_poll.as_deref(), "--update-poll", interval)?;
        let inventory = flags.inventory_poll.as_deref();
        take(&mut self.inventory_poll, inventory, "--inventory-poll", interval)?;
        take(&mut self.retry_poll, flags.retry_poll.as_deref(), "--retry-poll", interval)?;
        if let Some(text) = &flags.server_ip {
            match text.parse() {
                Ok(address) => self.server_ip = Some(address),
                Err(_) => bail!("--server-ip: {text:?} is no IP address"),
            }
        }
        if let Some(path) = &flags.server_certificate {
            let text = path.to_string_lossy();
            take(&mut self.server_certificate, Some(&text), "--server-cert", certificate)?;
        }
        Ok(self)
    }

    /// Without a terminal there is nobody to ask.
    pub(super) fn check_complete(&self) -> anyhow::Result<()> {
        let mut missing = Vec::new();
        if self.device_type.is_empty() {
            missing.push("--device-type");
        }
        if self.server_url.is_empty() {
            missing.push("--server-url");
        }
        if missing.is_empty() {
            return Ok(());
        }
        bail!("there is no terminal to ask questions on; pass {}", missing.join(" and "))
    }

    pub(super) fn changes(&self) -> Changes {
        Changes {
            server_url: self.server_url.clone(),
            server_certificate: self.server_certificate.clone(),
            tenant_token: self.tenant_token.clone(),
            update_poll_interval: self.update_poll,
            inventory_poll_interval: self.inventory_poll,
            retry_poll_interval: self.retry_poll,
        }
    }
}

fn take<T>(
    place: &mut T,
    text: Option<&str>,
    flag: &str,
    check: impl Fn(&str) -> Result<T, String>,
) -> anyhow::Result<()> {
    if let Some(text) = text {
        match check(text) {
            Ok(value) => *place = value,
            Err(problem) => bail!("{flag}: {problem}"),
        }
    }
    Ok(())
}

/// One line that both server and Artifacts name.
pub(super) fn device_type(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a device has a type; Artifacts name the types that they are for".to_owned());
    }
    if text.len() > MAX_DEVICE_TYPE_BYTES || text.contains(|c: char| c.is_control()) {
        return Err(format!("{text:?} is not one line of up to {MAX_DEVICE_TYPE_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

/// `https://host[:port]`, perhaps with a path.
pub(super) fn server_url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let is_good = host(url).is_some() && !url.contains(|c: char| c.is_whitespace() || c == '"');
    if is_good {
        Ok(url.to_owned())
    } else {
        Err(format!("{text:?} is no address like https://rota.example.com"))
    }
}

/// The name of the host in an address.
pub(super) fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_once(':').map_or((authority, ""), |(host, _)| {
            (host, authority.strip_prefix(host).unwrap_or_default())
        }),
    };
    let port = port.strip_prefix(':').unwrap_or("443");
    let is_good = !host.is_empty() && !host.contains('@') && port.parse::<u16>().is_ok();
    is_good.then_some(host)
}

/// A token, or nothing.
pub(super) fn word(text: &str) -> Result<String, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a token has no spaces in it; was it copied completely?".to_owned());
    }
    Ok(text.to_owned())
}

/// A number of seconds.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ SHORTEST_SECONDS..=LONGEST_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "{text:?} is no number of seconds from {SHORTEST_SECONDS} to {LONGEST_SECONDS}"
        )),
    }
}

/// A file with at least one certificate, or nothing.
pub(super) fn certificate(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let path = std::path::absolute(text).map_err(|error| format!("{text}: {error}"))?;
    let pem = std::fs::read(&path).map_err(|error| format!("{text}: {error}"))?;
    match CertificateDer::pem_slice_iter(&pem).next() {
        Some(Ok(_)) => Ok(Some(path)),
        _ => Err(format!("{text} holds no certificate in PEM form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_addresses() {
        for (url, expected) in [
            ("https://a.example", Some("a.example")),
            ("http://a:8080/path", Some("a")),
            ("https://[::1]:8443", Some("::1")),
            ("https://", None),
            ("https://a:port", None),
            ("https://user@a", None),
            ("ftp://a", None),
            ("a.example", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn bad_answers_are_explained() {
        assert_eq!(server_url("https://a/").as_deref(), Ok("https://a"));
        assert!(server_url("https://a b").is_err());
        assert!(device_type("").is_err() && device_type("a\nb").is_err());
        assert_eq!(device_type("board one").as_deref(), Ok("board one"));
        assert!(word("a b").is_err() && word("").is_ok());
        for bad in ["4", "-1", "x", "", "99999999999"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
        assert_eq!(interval("5"), Ok(Duration::from_secs(5)));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        std::fs::write(&path, "junk").unwrap();
        let problem = certificate(path.to_str().unwrap()).unwrap_err();
        assert!(problem.contains("no certificate"), "{problem}");
        assert_eq!(certificate(""), Ok(None));
    }
}
