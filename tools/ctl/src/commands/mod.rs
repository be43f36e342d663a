//! What each command does, one file per noun.

mod artifact;
mod control_map;
mod deployment;
mod device;
mod release;
mod sign_in;

use std::process::ExitCode;

use anyhow::Result;

use crate::{
    api::Api,
    cli::{Arguments, Command},
    session,
};

/// Carries out what was typed.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let format = arguments.output;
    match arguments.command {
        Command::Login(login) => sign_in::login(format, login).await?,
        Command::Logout => sign_in::logout(format, &signed_in()?).await?,
        Command::Whoami => sign_in::whoami(format, &signed_in()?).await?,
        Command::Device(command) => device::run(format, &signed_in()?, command).await?,
        Command::Artifact(command) => artifact::run(format, &signed_in()?, command).await?,
        Command::Release(command) => release::run(format, &signed_in()?, command).await?,
        Command::Deployment(command) => {
            return deployment::run(format, &signed_in()?, command).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn signed_in() -> Result<Api> {
    Api::new(session::load(&session::path()?)?)
}
