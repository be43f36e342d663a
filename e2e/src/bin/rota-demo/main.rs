//! `rota-demo`: the main job, before one's eyes, in about a minute.
//!
//! Starts `rota-server` and ten real devices in folders of their own, deploys v1 and v2 to all
//! of them, then a v3 whose commit fails on every second one. Checks what the server says and
//! what lies on each device's disk; exits with 1 when any device ends anywhere else. Nothing
//! is left running, and nothing is left on disk.

mod story;
mod table;

use std::{io::Write, process::ExitCode};

#[tokio::main]
async fn main() -> ExitCode {
    match story::tell().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
