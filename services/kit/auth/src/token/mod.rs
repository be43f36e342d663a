//! Bearer tokens: JSON Web Tokens signed with Ed25519, with the claims that Mender's clients
//! and programs know, and ours beside them.

mod claims;
mod keys;
mod verifier;

pub(crate) use self::keys::pem;
pub use self::{
    claims::{Addon, DeviceClaims, Machine, Person, UserClaims},
    keys::{KeyError, KeySet, SigningKeys},
    verifier::{Claims, MAX_TOKEN_BYTES, TokenError, TokenVerifier},
};
