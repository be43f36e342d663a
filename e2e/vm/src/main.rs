//! `rota-e2e-vm`: real virtual machines that are updated, and lose power.
//!
//! Each machine is a PC with GRUB, two root partitions and a data partition, made from Debian's
//! packages; its client is the real one, and so is the platform that it talks to. docs/e2e-vm.md
//! says how to read what this prints. `CUTS` is the number of power cuts, `SEED` repeats a run.

mod block;
mod boot_loader;
mod console;
mod cuts;
mod image;
mod lab;
mod machine;
mod probe;
mod qemu;
mod report;
mod run;
mod stories;
mod tools;

use std::process::ExitCode;

use report::say;

#[tokio::main]
async fn main() -> ExitCode {
    // What was started ends with what is dropped here.
    let outcome = tokio::select! {
        outcome = run::run() => outcome,
        Ok(()) = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("given up: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
