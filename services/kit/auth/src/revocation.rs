//! Who has been turned away before their token expired.
//!
//! Each subject (a device, a person) has an epoch; its owner raises it to revoke every token
//! issued before, and tells the verifiers over a stream. A verifier that has not heard from
//! the owner for a moment does not know: it must not guess, neither way.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

const SHARDS: usize = 64;

/// Subjects that a set holds at most, with about 64 bytes each. A set that is full knows
/// nothing any more, since to forget one too early would be to accept it.
const CAPACITY: usize = 2_000_000;

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not been revoked, as of a moment ago.
    Valid,
    /// It has been revoked, for good.
    Revoked,
    /// Nobody can say now.
    Unknown,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Tokens with a lower epoch are revoked.
    epoch: u64,
    /// When the last such token has expired, in seconds since 1970.
    expires_at: i64,
}

/// The epochs that one owner has raised.
///
/// Filled by [`RevocationSet::revoke`] and kept fresh by [`RevocationSet::heartbeat`]; when the
/// stream was cut, call [`RevocationSet::lost`] and fill it again: what was learned before stays.
pub struct RevocationSet {
    shards: Vec<RwLock<HashMap<Uuid, Entry>>>,
    held: AtomicUsize,
    hasher: RandomState,
    start: Instant,
    /// Milliseconds from `start` until which the set is fresh; 0 for not at all.
    fresh_until: AtomicU64,
    freshness: Duration,
    capacity: usize,
}

impl RevocationSet {
    /// A set that knows nothing yet. It is fresh for `freshness` after each word from the
    /// owner.
    pub fn new(freshness: Duration) -> Self {
        Self::with_capacity(freshness, CAPACITY)
    }

    fn with_capacity(freshness: Duration, capacity: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            held: AtomicUsize::new(0),
            hasher: RandomState::new(),
            start: Instant::now(),
            fresh_until: AtomicU64::new(0),
            freshness,
            capacity,
        }
    }

    /// Notes that a subject's tokens of epochs before `epoch` are revoked, the last of which
    /// expires at `expires_at` (seconds since 1970). An epoch never falls.
    pub fn revoke(&self, subject: Uuid, epoch: u64, expires_at: i64) {
        let mut shard = self.shard(subject).write().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.entry(subject).or_insert_with(|| {
            self.held.fetch_add(1, Ordering::Relaxed);
            Entry { epoch, expires_at }
        });
        entry.epoch = entry.epoch.max(epoch);
        entry.expires_at = entry.expires_at.max(expires_at);
    }

    /// Notes that the owner's stream is alive and nothing else has changed.
    pub fn heartbeat(&self, now: Instant) {
        let until = self.since_start(now + self.freshness).max(1);
        self.fresh_until.store(until, Ordering::Release);
    }

    /// Notes that the owner's stream was cut: at once, nobody can say any more.
    pub fn lost(&self) {
        self.fresh_until.store(0, Ordering::Release);
    }

    /// Whether the set can say anything now.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.since_start(now) < self.fresh_until.load(Ordering::Acquire)
            && self.held.load(Ordering::Relaxed) <= self.capacity
    }

    /// Where a token of `epoch` stands. A revoked token is so whatever else is unknown.
    pub fn check(&self, subject: Uuid, epoch: u64, now: Instant) -> Standing {
        // Asked before the entry is read: were it fresh only afterwards, the entry might be
        // older than the freshness.
        let fresh = self.is_fresh(now);
        let shard = self.shard(subject).read().unwrap_or_else(PoisonError::into_inner);
        match shard.get(&subject) {
            Some(entry) if epoch < entry.epoch => Standing::Revoked,
            _ if fresh => Standing::Valid,
            _ => Standing::Unknown,
        }
    }

    /// Forgets revocations whose tokens have all expired: whoever judges tokens by the same
    /// clock takes none of them. Call it from time to time.
    pub fn forget_expired(&self, now: DateTime<Utc>) {
        let now = now.timestamp();
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(|_, entry| now < entry.expires_at);
            self.held.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
    }

    /// Subjects held.
    pub fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether nobody is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, subject: Uuid) -> &RwLock<HashMap<Uuid, Entry>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let at = self.hasher.hash_one(subject) as usize % SHARDS;
        &self.shards[at]
    }

    fn since_start(&self, now: Instant) -> u64 {
        let milliseconds = now.saturating_duration_since(self.start).as_millis();
        u64::try_from(milliseconds).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// When the tokens of these tests expire, in seconds since 1970.
    const END: i64 = 1_800_000_000;

    fn set() -> (RevocationSet, Instant) {
        let set = RevocationSet::with_capacity(Duration::from_secs(1), 2);
        let now = set.start + Duration::from_secs(100);
        (set, now)
    }

    /// A set that was told so much a moment ago.
    fn loaded(revoked: &[(Uuid, u64)]) -> (RevocationSet, Instant) {
        let (set, now) = set();
        for (subject, epoch) in revoked {
            set.revoke(*subject, *epoch, END);
        }
        set.heartbeat(now);
        (set, now)
    }

    #[test]
    fn nothing_is_known_before_the_first_word() {
        let (set, now) = set();
        let subject = Uuid::new_v4();
        assert_eq!(set.check(subject, 0, now), Standing::Unknown);
        set.heartbeat(now);
        assert_eq!(set.check(subject, 0, now), Standing::Valid);
    }

    #[test]
    fn epochs_before_the_raised_one_are_revoked_and_it_never_falls() {
        let subject = Uuid::new_v4();
        let (set, now) = loaded(&[(subject, 5)]);
        assert_eq!(set.check(subject, 4, now), Standing::Revoked);
        assert_eq!(set.check(subject, 5, now), Standing::Valid);
        set.revoke(subject, 3, END);
        assert_eq!(set.check(subject, 4, now), Standing::Revoked);
        assert_eq!(set.check(Uuid::new_v4(), 0, now), Standing::Valid);
    }

    #[test]
    fn silence_makes_it_unknown_but_a_revoked_token_stays_revoked() {
        let subject = Uuid::new_v4();
        let (set, now) = loaded(&[(subject, 1)]);
        let later = now + Duration::from_secs(1);
        assert_eq!(set.check(subject, 1, now + Duration::from_millis(999)), Standing::Valid);
        assert_eq!(set.check(subject, 1, later), Standing::Unknown);
        assert_eq!(set.check(subject, 0, later), Standing::Revoked);
        set.heartbeat(later);
        assert_eq!(set.check(subject, 1, later), Standing::Valid);
        set.lost();
        assert_eq!(set.check(subject, 1, later), Standing::Unknown);
    }

    #[test]
    fn a_full_set_knows_nothing_until_revocations_end_with_their_tokens() {
        let subjects: Vec<_> = (0..3).map(|_| (Uuid::new_v4(), 1)).collect();
        let (set, now) = loaded(&subjects);
        assert_eq!(set.check(Uuid::new_v4(), 0, now), Standing::Unknown);
        // The last token of one of them lives on.
        let lasting = subjects[0].0;
        set.revoke(lasting, 1, END + 1);
        set.revoke(lasting, 2, END);
        let end = DateTime::from_timestamp(END, 0).unwrap();
        set.forget_expired(end - TimeDelta::seconds(1));
        assert_eq!((set.len(), set.is_fresh(now)), (3, false));
        set.forget_expired(end);
        assert_eq!((set.len(), set.is_fresh(now)), (1, true));
        assert_eq!(set.check(lasting, 1, now), Standing::Revoked);
        assert_eq!(set.check(subjects[1].0, 1, now), Standing::Valid);
        set.forget_expired(end + TimeDelta::seconds(1));
        assert!(set.is_empty());
    }
}
