//! The table of jobs: as people look at it, and as runners work on it.

pub(crate) mod jobs;
pub(crate) mod work;
