//! `rota-stack`: private back-ends from the command line, until a signal.

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use rota_stack::{Authority, Nats, NatsOptions, Postgres, PostgresOptions, S3, S3Options};
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};

/// Starts private back-ends for Rota and stops them on SIGINT or SIGTERM. The address is
/// printed on standard output as soon as the server takes connections.
#[derive(Debug, Parser)]
#[command(name = "rota-stack", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A Postgres with the database `rota`.
    Postgres {
        /// A directory for it alone.
        #[arg(long, env = "ROTA_STACK_DIR")]
        dir: PathBuf,
    },
    /// A nats-server with JetStream.
    Nats {
        /// A directory for it alone.
        #[arg(long, env = "ROTA_STACK_DIR")]
        dir: PathBuf,
        /// The port on 127.0.0.1 [default: a free one].
        #[arg(long)]
        port: Option<u16>,
    },
    /// An S3 server over HTTP.
    S3 {
        /// A directory for it alone.
        #[arg(long, env = "ROTA_STACK_DIR")]
        dir: PathBuf,
        /// The port on 127.0.0.1 [default: a free one].
        #[arg(long)]
        port: Option<u16>,
        /// A bucket that exists from the start.
        #[arg(long, default_value = "rota")]
        bucket: String,
        /// The access key's name.
        #[arg(long, env = "ROTA_S3_ACCESS_KEY")]
        access_key: String,
        /// The access key's secret; from the environment, since others can read a command
        /// line.
        #[arg(long, env = "ROTA_S3_SECRET_KEY", hide_env_values = true)]
        secret_key: SecretString,
    },
    /// An authority, and a certificate for each name; ends at once.
    Certificates {
        /// Where they are written.
        #[arg(long)]
        dir: PathBuf,
        /// The services' names.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the last place to complain to.
            let _ = writeln!(std::io::stderr(), "rota-stack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Postgres { dir } => {
            let postgres = Postgres::start(PostgresOptions::new(dir)).await?;
            serve(postgres.url().expose_secret()).await?;
            postgres.stop().await;
        }
        Command::Nats { dir, port } => {
            let nats = Nats::start(NatsOptions { port, ..NatsOptions::new(dir) }).await?;
            serve(nats.url()).await?;
            nats.stop().await;
        }
        Command::S3 { dir, port, bucket, access_key, secret_key } => {
            let options = S3Options { dir, port, buckets: vec![bucket], access_key, secret_key };
            let s3 = S3::start(options).await?;
            serve(s3.endpoint()).await?;
            s3.stop().await;
        }
        Command::Certificates { dir, names } => {
            let authority = Authority::open(dir)?;
            for name in names {
                let identity = authority.issue(&name)?;
                writeln!(std::io::stdout(), "{}", identity.certificate.display())?;
            }
        }
    }
    Ok(())
}

/// Prints the address, and waits for a signal to stop.
async fn serve(address: &str) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}")?;
    stdout.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for signals")?,
    }
    Ok(())
}
