//! The service's whole surface, against real Postgres and a directory of blobs.

mod artifacts;
mod crashes;
mod creation;
mod devices;
mod downloads;
mod inventory;
mod people;
mod races;
mod releases;
mod scale;
mod tenants;
mod world;
