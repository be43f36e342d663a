//! Back-ends for tests: a database of its own for each, a broker, an object store.
//!
//! Everything here panics when it cannot give what was asked for, with the reason: a test has
//! nothing better to do.
//!
//! ```ignore
//! #[tokio::test]
//! async fn an_artifact_is_kept() {
//!     let test = TestDatabase::new(&[&deployments::SCHEMA]).await;
//!     let db = test.connect(&deployments::SCHEMA).await;
//!     // …
//! }
//! ```

mod broker;
mod cluster;
mod database;
mod object_store;

pub use broker::TestNats;
pub use database::TestDatabase;
pub use object_store::TestS3;
