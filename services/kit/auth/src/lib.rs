//! Proofs of who somebody is: tokens and their keys, device key proofs, revocation, passwords
//! and signed links.
//!
//! Nothing here does I/O but for key files, and nothing reads a clock: the time is a
//! parameter.
//!
//! Architecture invariant: a token is judged without asking anybody. Its signature is checked
//! against a [`KeySet`], and whether it was withdrawn against a [`RevocationSet`] in memory.

mod device_key;
mod key_file;
mod link;
mod password;
mod revocation;
mod token;

pub use device_key::{DeviceKey, DeviceKeyError, MAX_PUBLIC_KEY_BYTES, MAX_SIGNATURE_CHARACTERS};
pub use key_file::KeyFileError;
pub use link::{Link, LinkError, LinkSigner};
pub use password::{PasswordCost, PasswordError, Passwords};
pub use revocation::{RevocationSet, Standing};
pub use token::{
    Addon, Claims, DeviceClaims, KeyError, KeySet, MAX_TOKEN_BYTES, Machine, Person, SigningKeys,
    TokenError, TokenVerifier, UserClaims,
};
