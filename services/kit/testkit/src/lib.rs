//! Test support: databases from a template, brokers and object stores.
