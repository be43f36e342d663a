//! `rota-server`, started as the README says, in a data directory of its own.

use std::path::Path;

use anyhow::Result;
use rota_stack::ReservedPort;

use super::{Part, Platform, START_LIMIT, labelled};
use crate::{process::Program, programs};

/// Starts it and reads what it prints once: how to sign in.
pub(super) async fn start(folder: &Path) -> Result<Platform> {
    let data = folder.join("data");
    let (https, admin) = (ReservedPort::take()?, ReservedPort::take()?);
    let url = format!("https://localhost:{}", https.number());
    let mut server = Program::new("rota-server", programs::ours("rota-server")?, folder)
        .flag("--data-dir", &data)
        .flag("--https-listen", https.address().to_string())
        .flag("--admin-listen", admin.address().to_string())
        .flag("--public-url", &url)
        .start()?;
    let email =
        server.line("an administrator", START_LIMIT, |line| labelled(line, "e-mail")).await?;
    let password =
        server.line("a password", START_LIMIT, |line| labelled(line, "password")).await?;
    Ok(Platform {
        processes: vec![(Part::Server, server)],
        gateways: vec![url],
        certificate: data.join("tls/server.crt"),
        email,
        password,
        backends: None,
        _ports: vec![https, admin],
    })
}
