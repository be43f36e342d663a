//! What runs by itself: events begin jobs, a runner carries them out, a sweep removes old ones.

pub(crate) mod begin;
pub(crate) mod run;
pub(crate) mod steps;
pub(crate) mod sweep;
