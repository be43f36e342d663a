//! Whole stories, each told to the platform in every form it is run in.

mod stories;
mod walls;
