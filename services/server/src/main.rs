//! `rota-server`: the whole platform in one process, for trials and small fleets.
//!
//! It is wiring and nothing more: the same libraries as the separate processes, calling each
//! other through one [`Mesh`](rota_runtime::Mesh). What it adds is what a trial lacks: a
//! private Postgres, a directory for large bytes, a bus within the process, a certificate, and
//! a first person to sign in. Settings point it at real ones instead, each by itself.

mod backends;
mod certificate;
mod data_dir;
mod first_person;
mod platform;
mod settings;

use std::{process::ExitCode, sync::Arc};

use rota_runtime::{Env, run_program};

use crate::settings::Settings;

fn main() -> ExitCode {
    run_program("server", async |settings: Settings, env: Arc<Env>| {
        platform::start(settings, &env).await
    })
}
