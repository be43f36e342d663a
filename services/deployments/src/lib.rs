//! The deployments service: Artifacts, releases, deployments, and what each device shall do.
//!
//! It owns the schema `deployments` and the blobs of Artifacts and deployment logs. Events out:
//! `deployment.created` and `deployment.aborted`. It asks inventory which devices a deployment
//! is for.
//!
//! What holds, whatever is killed when:
//!
//! - **An Artifact exists only when every byte of it was good.** The intent of an upload is
//!   written before its first byte; what fails leaves nothing, what dies is swept.
//! - **An Artifact that an active deployment uses cannot be deleted.** Both hold the Artifact's
//!   row.
//! - **A deployment is there with the answer to its creation**, however many devices it is for:
//!   a job writes the rest of a long list, from where it stands.
//! - **No report waits for another device's.** Statistics are counted when asked for, and the
//!   deployment's row is written only when its last device has come to an end.
//! - **A device of a tenant without an active deployment costs no query**; any other costs one
//!   look into one index, unless something is to be decided.
//!
//! What a device shall do is decided in one pure place, `model::decision`.

mod app;
mod config;
mod error;
mod grpc;
mod jobs;
mod metrics;
mod model;
mod service;
mod store;
mod targets;
mod upload_places;

pub use config::Config;
pub use service::{Deployments, Deps};
pub use store::SCHEMA;
