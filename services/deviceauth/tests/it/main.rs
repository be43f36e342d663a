//! deviceauth's surface, against a real Postgres.

mod authentication;
mod decisions;
mod lists;
mod trust;
mod walls;
mod world;
