//! The Helm chart: rendered by the real helm, every object checked against every other, and at
//! last played: what it says is started, with the real programs and back-ends. And the images beside it.
//!
//! `.ci/charts-tools` gets helm and kubernetes-validate; `make charts` does both.

mod cluster;
mod helm;
mod images;
mod network;
mod objects;
mod play;
mod pods;
mod releases;
mod schema;
mod secrets;
mod settings;
mod values;
