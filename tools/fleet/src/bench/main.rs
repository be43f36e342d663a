//! `rota-bench`: what Rota costs, as ratios against bare programs measured in the same run.
//!
//! Each section starts what it measures as processes of their own, so that their CPU time and
//! memory are the operating system's figures and the load generator's are not among them.
//! Every figure is a median; absolute figures stand beside the ratios, and only for scale.

mod artifact;
mod bare;
mod client;
mod fleet;
mod measure;
mod platform;
mod polls;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure Rota against bare programs
#[derive(Debug, Parser)]
#[command(name = "rota-bench", version)]
struct Arguments {
    /// Sections to run; all but the client's own when none is named
    #[arg(long, value_enum)]
    only: Vec<Section>,
    /// How often each whole-process measurement is repeated
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Size of the Artifact's payload, in megabytes
    #[arg(long, default_value_t = 500)]
    artifact_megabytes: u64,
    /// Devices that poll
    #[arg(long, default_value_t = 10_000)]
    polling_devices: usize,
    /// Devices in the large fleet
    #[arg(long, default_value_t = 100_000)]
    fleet_devices: usize,
    #[command(flatten)]
    client: client::Settings,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// Writing, validating and installing a large Artifact
    Artifact,
    /// Empty polls and authentications
    Polls,
    /// Lists, search, inventory and a deployment in a large fleet
    Fleet,
    /// The device client's size, memory and rest; `make bench-client` builds what it needs
    Client,
}

/// What the measurements start this program as.
#[derive(Debug, Subcommand)]
enum Role {
    /// Run a command and print what it cost, as JSON
    #[command(hide = true)]
    Measure(measure::Command),
    /// Serve the bare handler that polls are compared with
    #[command(hide = true)]
    Bare(bare::Settings),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.role {
        Some(Role::Measure(command)) => return measure::run_child(&command),
        Some(Role::Bare(settings)) => bare::serve(settings),
        None => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    // Another part of the program may have set it: the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = |section| arguments.only.is_empty() || arguments.only.contains(&section);
    let mut table = report::Table::default();
    if wanted(Section::Artifact) {
        artifact::measure(&mut table, arguments.artifact_megabytes, arguments.runs)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if wanted(Section::Polls) {
        runtime.block_on(polls::measure(&mut table, arguments.polling_devices))?;
    }
    if wanted(Section::Fleet) {
        runtime.block_on(fleet::measure(&mut table, arguments.fleet_devices))?;
    }
    if arguments.only.contains(&Section::Client) {
        runtime.block_on(client::measure(&mut table, &arguments.client, arguments.runs))?;
    }
    table.print()
}
