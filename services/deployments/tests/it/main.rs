//! The service's whole surface, against real Postgres and a directory of blobs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod artifacts;
mod control_maps;
mod crashes;
mod creation;
mod devices;
mod downloads;
mod inventory;
mod people;
mod races;
mod releases;
mod scale;
mod stores;
mod tenants;
mod world;
