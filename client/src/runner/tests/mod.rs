//! Whole updates through the runner.

mod control;
mod crash;
mod device;
mod matrix;
mod scripted;
mod surroundings;
mod updates;
