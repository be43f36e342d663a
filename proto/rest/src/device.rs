//! What devices send and receive.
