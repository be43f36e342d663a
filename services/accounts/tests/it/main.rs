//! accounts' surface, against a real Postgres.

mod people;
mod sign_in;
mod tenants;
mod world;
