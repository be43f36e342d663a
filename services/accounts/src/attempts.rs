//! How often a person who is signed in may say their password.
//!
//! Whoever has got hold of a token could otherwise guess the password with it, and more quickly
//! than by signing in, which the gateway limits by address.

use std::{num::NonZeroU32, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use rota_types::UserId;

use crate::error::Error;

/// Attempts at once: more than somebody needs who tries all passwords that come to mind.
const BURST: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// Attempts an hour in the long run: not three hundred guesses a day.
const PER_HOUR: NonZeroU32 = NonZeroU32::new(12).expect("twelve is not zero");

/// How often people who did not try lately are forgotten.
pub(crate) const FORGET_INTERVAL: Duration = Duration::from_mins(10);

/// The attempts of each person, right or wrong. They are counted in this process; several of them
/// allow as many times more.
pub(crate) struct Attempts(DefaultKeyedRateLimiter<UserId>);

impl Attempts {
    pub(crate) fn new() -> Self {
        Self(RateLimiter::keyed(Quota::per_hour(PER_HOUR).allow_burst(BURST)))
    }

    /// Counts one more.
    pub(crate) fn count(&self, person: UserId) -> Result<(), Error> {
        self.0.check_key(&person).map_err(|until| Error::TooManyAttempts {
            wait: until.wait_time_from(self.0.clock().now()),
        })
    }

    /// Forgets people who did not try lately.
    pub(crate) fn forget_old(&self) {
        self.0.retain_recent();
    }
}
