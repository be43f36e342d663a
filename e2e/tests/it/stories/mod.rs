//! The stories, and the two forms of the platform that each is told to.

mod bad_input;
mod control_maps;
mod desk;
mod downloads;
mod kills;
mod main_job;
mod paper;
mod revocation;
mod tenants;
mod tour;

use anyhow::Result;
use rota_e2e::{
    platform::Form,
    stage::{Stage, tell},
};

macro_rules! stories {
    ($($story:ident),+ $(,)?) => {
        /// Everything in one process.
        mod one_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> {
                super::tell(super::Form::OneProcess, super::$story::tell).await
            })+
        }

        /// Every service in processes of its own.
        mod separate {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> {
                super::tell(super::Form::Separate, super::$story::tell).await
            })+
        }
    };
}

stories!(main_job, bad_input, control_maps, downloads, revocation, tenants, tour);

/// Only processes of their own can be killed one at a time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing() -> Result<()> {
    tell(Form::Separate, kills::tell).await
}
