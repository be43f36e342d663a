//! Every type of payload on a device in a folder: updates that go well, that fail, and that lose
//! power at each step.

mod compose;
mod device;
mod directory;
mod docker;
mod engine;
pub(super) mod faults;
mod power;
mod script;
mod single_file;
