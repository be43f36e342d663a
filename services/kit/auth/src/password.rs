//! Passwords at rest: argon2id, with a bound on how many are computed at once.
//!
//! Each hash takes 19 MiB and tens of milliseconds on purpose. Without a bound, a burst of
//! sign-ins would take all memory and every core from the fleet's polls.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::phc::PasswordHash,
};
use rota_types::{Coded, ErrorCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

/// Callers that may wait for each computation under way.
const WAITING_PER_SLOT: usize = 16;

/// The longest password that is looked at, in bytes.
const MAX_PASSWORD_BYTES: usize = 1024;

/// What is wrong with a password, or with asking now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many at once; come again in a second.
    #[error("too many passwords at once")]
    Busy,
    /// Longer than 1024 bytes.
    #[error("a password may have at most {MAX_PASSWORD_BYTES} bytes")]
    TooLong,
    /// The stored hash is none of ours.
    #[error("the stored password hash cannot be read")]
    Stored,
    /// The operating system gives no randomness or no memory.
    #[error("the password cannot be hashed")]
    Hash,
}

impl Coded for PasswordError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Busy => ErrorCode::TooMany,
            Self::TooLong => ErrorCode::Invalid,
            Self::Stored | Self::Hash => ErrorCode::Internal,
        }
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Busy => vec![("retry_after_seconds", "1".to_owned())],
            _ => Vec::new(),
        }
    }
}

/// What a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordCost {
    /// 19 MiB and two passes: OWASP's recommendation for argon2id.
    Recommended,
    /// As little as the algorithm allows. For tests, where nothing is worth guessing.
    Minimal,
}

/// Hashes and verifies passwords. Clones share the bound.
#[derive(Clone)]
pub struct Passwords {
    argon: Argon2<'static>,
    slots: Arc<Semaphore>,
    inside: Arc<AtomicUsize>,
    most: usize,
    /// Verified against where there is no such person, so that the answer takes as long.
    nobody: Arc<str>,
}

impl Passwords {
    /// Computes at most `at_once` hashes at the same time, with up to 16 callers waiting for
    /// each of them; further ones are told to come again.
    pub fn new(cost: PasswordCost, at_once: NonZeroUsize) -> Result<Self, PasswordError> {
        let params = match cost {
            PasswordCost::Recommended => Params::new(19 * 1024, 2, 1, None),
            PasswordCost::Minimal => {
                Params::new(Params::MIN_M_COST, Params::MIN_T_COST, Params::MIN_P_COST, None)
            }
        };
        let params = params.map_err(|_| PasswordError::Hash)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = hash(&argon, b"nobody has this password")?.into();
        Ok(Self {
            argon,
            slots: Arc::new(Semaphore::new(at_once.get())),
            inside: Arc::default(),
            most: at_once.get() * (1 + WAITING_PER_SLOT),
            nobody,
        })
    }

    /// The same, for what can wait: it finds no place once half of those to compute and wait
    /// are taken, so that the other half is left to the rest.
    #[must_use]
    pub fn yielding(&self) -> Self {
        Self { most: self.most.div_ceil(2), ..self.clone() }
    }

    /// Hashes a new password. The result (a PHC string) names its algorithm, cost and salt.
    pub async fn hash(&self, password: SecretString) -> Result<String, PasswordError> {
        let argon = self.argon.clone();
        self.compute(password, move |password| hash(&argon, password)).await
    }

    /// Whether `password` is the one that was hashed to `stored`. `None` stands for a person
    /// that does not exist: it is never the one, and finding out takes as long.
    pub async fn verify(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<bool, PasswordError> {
        let argon = self.argon.clone();
        let exists = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.nobody.to_string());
        self.compute(password, move |password| {
            let stored = PasswordHash::new(&stored).map_err(|_| PasswordError::Stored)?;
            Ok(argon.verify_password(password, &stored).is_ok() && exists)
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        password: SecretString,
        work: impl FnOnce(&[u8]) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        if password.expose_secret().len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::TooLong);
        }
        let inside = Inside::enter(&self.inside, self.most).ok_or(PasswordError::Busy)?;
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        let computed = tokio::task::spawn_blocking(move || {
            // A caller that goes away does not stop the computation, so the places go with it.
            let _places = (inside, slot);
            work(password.expose_secret().as_bytes())
        });
        computed.await.map_err(|_| PasswordError::Hash)?
    }
}

fn hash(argon: &Argon2<'_>, password: &[u8]) -> Result<String, PasswordError> {
    let hash: PasswordHash = argon.hash_password(password).map_err(|_| PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// A place among those who compute or wait.
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn enter(inside: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |count: usize| (count < most).then_some(count + 1);
        inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).ok()?;
        Some(Self(Arc::clone(inside)))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(at_once: usize) -> Passwords {
        Passwords::new(PasswordCost::Minimal, NonZeroUsize::new(at_once).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_holds_and_no_other() {
        let passwords = passwords(2);
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$"), "{stored}");
        assert_eq!(passwords.verify("correct horse".into(), Some(stored.clone())).await, Ok(true));
        assert_eq!(passwords.verify("battery".into(), Some(stored.clone())).await, Ok(false));
        assert_ne!(passwords.hash("correct horse".into()).await.unwrap(), stored);
    }

    #[tokio::test]
    async fn nobody_has_no_password() {
        let passwords = passwords(2);
        let password = "nobody has this password";
        assert_eq!(passwords.verify(password.into(), None).await, Ok(false));
    }

    #[tokio::test]
    async fn hashes_made_at_another_cost_hold() {
        let at_once = NonZeroUsize::new(1).unwrap();
        let dear = Passwords::new(PasswordCost::Recommended, at_once).unwrap();
        let stored = passwords(1).hash("word".into()).await.unwrap();
        assert_eq!(dear.verify("word".into(), Some(stored)).await, Ok(true));
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_again() {
        let passwords = passwords(1);
        // Nobody gets a slot, so that everybody who may wait does.
        let slot = Arc::clone(&passwords.slots).acquire_owned().await.unwrap();
        let waiting: Vec<_> = (0..passwords.most)
            .map(|_| {
                tokio::spawn({
                    let passwords = passwords.clone();
                    async move { passwords.hash("word".into()).await }
                })
            })
            .collect();
        while passwords.inside.load(Ordering::Acquire) < passwords.most {
            tokio::task::yield_now().await;
        }
        assert_eq!(passwords.hash("word".into()).await, Err(PasswordError::Busy));
        drop(slot);
        for waited in waiting {
            assert!(waited.await.unwrap().is_ok());
        }
        assert!(passwords.hash("word".into()).await.is_ok());
    }

    #[tokio::test]
    async fn what_can_wait_leaves_half_of_the_places() {
        let passwords = passwords(1);
        let yielding = passwords.yielding();
        let slot = Arc::clone(&passwords.slots).acquire_owned().await.unwrap();
        let hash = async |passwords: Passwords| passwords.hash("word".into()).await;
        let waiting: Vec<_> =
            (0..passwords.most).map(|_| tokio::spawn(hash(yielding.clone()))).collect();
        let (mut refused, mut admitted) = (0, Vec::new());
        for waited in waiting {
            tokio::task::yield_now().await;
            if waited.is_finished() {
                assert_eq!(waited.await.unwrap(), Err(PasswordError::Busy));
                refused += 1;
            } else {
                admitted.push(waited);
            }
        }
        assert_eq!((admitted.len(), refused), (9, 8));
        let urgent = tokio::spawn(hash(passwords.clone()));
        while passwords.inside.load(Ordering::Acquire) < 10 {
            tokio::task::yield_now().await;
        }
        drop(slot);
        assert!(urgent.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn bad_input_is_told_apart() {
        let passwords = passwords(1);
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        assert_eq!(passwords.hash(long.into()).await, Err(PasswordError::TooLong));
        let stored = Some("plain text".to_owned());
        assert_eq!(passwords.verify("x".into(), stored).await, Err(PasswordError::Stored));
    }
}
