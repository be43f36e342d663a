//! What people and other services do with jobs.

mod jobs;
