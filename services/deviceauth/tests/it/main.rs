//! deviceauth's surface, against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authentication;
mod decisions;
mod lists;
mod trust;
mod walls;
mod world;
