//! Whole updates through the runner.

mod crash;
mod matrix;
mod scripted;
mod surroundings;
mod updates;
