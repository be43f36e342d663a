//! The whole surface of inventory, over gRPC and against a real Postgres.

mod attributes;
mod groups;
mod house;
mod oracle;
mod provisioning;
mod search;
mod tags;
mod targets;
mod walls;
