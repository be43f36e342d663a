//! `rota-server`, started as the README says, in a data directory of its own.

use std::path::Path;

use anyhow::Result;

use super::{Part, Platform, START_LIMIT, free_port, labelled};
use crate::{process::Program, programs};

/// Starts it and reads what it prints once: how to sign in.
pub(super) async fn start(folder: &Path) -> Result<Platform> {
    let data = folder.join("data");
    let port = free_port()?;
    let mut server = Program::new("rota-server", programs::ours("rota-server")?, folder)
        .flag("--data-dir", &data)
        .flag("--https-listen", format!("127.0.0.1:{port}"))
        .flag("--admin-listen", format!("127.0.0.1:{}", free_port()?))
        .flag("--public-url", format!("https://localhost:{port}"))
        .start()?;
    let email =
        server.line("an administrator", START_LIMIT, |line| labelled(line, "e-mail")).await?;
    let password =
        server.line("a password", START_LIMIT, |line| labelled(line, "password")).await?;
    Ok(Platform {
        processes: vec![(Part::Server, server)],
        gateways: vec![format!("https://localhost:{port}")],
        certificate: data.join("tls/server.crt"),
        email,
        password,
        backends: None,
    })
}
