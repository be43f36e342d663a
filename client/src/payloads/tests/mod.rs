//! Every type of payload on a device in a folder: updates that go well, that fail, and that lose
//! power at each step.

mod device;
mod directory;
pub(super) mod faults;
mod power;
mod script;
mod single_file;
