//! The wire types that services speak between each other, generated from
//! `rota/<service>/v1/*.proto`.
//!
//! They stop at a service's `grpc/` and at the gateway's `convert/`: neither a domain type
//! nor a public JSON type is ever one of these.
#![expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    unused_qualifications,
    reason = "generated code; the .proto files hold the documentation"
)]

/// `rota.accounts.v1`.
pub mod accounts {
    pub mod v1 {
        tonic::include_proto!("rota.accounts.v1");
    }
}

/// `rota.deployments.v1`.
pub mod deployments {
    pub mod v1 {
        tonic::include_proto!("rota.deployments.v1");
    }
}

/// `rota.deviceauth.v1`.
pub mod deviceauth {
    pub mod v1 {
        tonic::include_proto!("rota.deviceauth.v1");
    }
}

/// `rota.inventory.v1`.
pub mod inventory {
    pub mod v1 {
        tonic::include_proto!("rota.inventory.v1");
    }
}

/// `rota.trust.v1`.
pub mod trust {
    pub mod v1 {
        tonic::include_proto!("rota.trust.v1");
    }
}

/// `rota.workflows.v1`.
pub mod workflows {
    pub mod v1 {
        tonic::include_proto!("rota.workflows.v1");
    }
}

mod convert;

pub use convert::{from_timestamp, to_timestamp};
