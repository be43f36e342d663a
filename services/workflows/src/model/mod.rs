//! What workflows thinks in: workflows, their steps, and jobs.

mod job;
mod workflow;

pub use job::{Job, JobStatus, UnknownStatus};
pub use workflow::{Next, Outcome, Step, UnknownWorkflow, Workflow, next};
