//! Whole updates through the runner.

mod control;
mod crash;
mod matrix;
mod scripted;
mod surroundings;
mod updates;
