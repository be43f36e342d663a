//! The certificate that devices and people see: the one that is set, or one made here.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rota_gateway::PublicUrl;
use rota_runtime::{
    certificate,
    tls::{ClientCertificates, Identity, ServerTls},
};

use crate::data_dir::DataDir;

/// How TLS is served. A certificate that is made here carries the public URL's name, this
/// machine's and those of loopback.
pub(crate) fn open(
    set: Option<(PathBuf, PathBuf)>,
    public_url: Option<&PublicUrl>,
    data: &DataDir,
) -> Result<ServerTls> {
    let identity = match set {
        Some((cert, key)) => Identity { cert, key },
        None => certificate::ensure_self_signed(&data.tls(), &names(public_url))
            .context("cannot make a certificate")?,
    };
    Ok(ServerTls { identity, clients: ClientCertificates::NotAsked })
}

fn names(public_url: Option<&PublicUrl>) -> Vec<String> {
    let mut names = Vec::new();
    names.extend(public_url.and_then(host));
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // A name that a certificate cannot hold would only make it fail.
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if !machine.is_empty() && machine.chars().all(fits) {
        names.push(machine);
    }
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn host(url: &PublicUrl) -> Option<String> {
    let uri: http::Uri = url.to_string().parse().ok()?;
    Some(uri.host()?.trim_matches(['[', ']']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_what_links_begin_with() {
        let url = "https://rota.example.com:8443".parse().unwrap();
        let names = names(Some(&url));
        assert_eq!(names[0], "rota.example.com");
        assert!(names.contains(&"localhost".to_owned()));
        let address = "https://[::1]:8443".parse().unwrap();
        assert_eq!(host(&address).as_deref(), Some("::1"));
    }
}
