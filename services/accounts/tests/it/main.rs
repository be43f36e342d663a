//! accounts' surface, against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod operator;
mod people;
mod sign_in;
mod tenants;
mod world;
