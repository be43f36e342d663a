//! Jobs, from the event to the effect, with services that only pretend.

mod begin;
mod crash;
mod desk;
mod jobs;
mod run;
mod town;
