//! Whole updates through the runner.

mod matrix;
mod scripted;
mod surroundings;
mod updates;
