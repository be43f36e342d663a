//! Containers: what the types `docker` and `docker-compose` have in common.

mod compose;
mod docker;
mod engine;
mod settings;
mod store;

pub(super) use compose::DockerCompose;
pub(super) use docker::Docker;
pub use settings::ContainerSettings;
