//! The whole surface of inventory, over gRPC and against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod attributes;
mod groups;
mod house;
mod large;
mod oracle;
mod provisioning;
mod search;
mod tags;
mod targets;
mod walls;
