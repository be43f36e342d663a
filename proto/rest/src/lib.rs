//! The public JSON types of the device and management APIs.
pub mod device;
