//! Jobs, from the event to the effect, with services that only pretend.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod begin;
mod crash;
mod desk;
mod jobs;
mod run;
mod town;
