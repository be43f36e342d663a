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

use uuid::Uuid;

const SHARDS: usize = 64;

/// Subjects that a set holds at most, with about 64 bytes each. A set that is full knows
/// nothing any more, since to forget one would be to accept it.
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
    /// When the last such token has expired; never, for tokens that do not expire.
    forget: Option<Instant>,
}

/// The epochs that one owner has raised.
///
/// Loaded as a whole with [`RevocationSet::load`], then kept fresh by
/// [`RevocationSet::revoke`] and [`RevocationSet::heartbeat`]; when the stream was cut, call
/// [`RevocationSet::lost`] and load again.
pub struct RevocationSet {
    shards: Vec<RwLock<HashMap<Uuid, Entry>>>,
    held: AtomicUsize,
    hasher: RandomState,
    start: Instant,
    /// Milliseconds from `start` until which the set is fresh; 0 for not at all.
    fresh_until: AtomicU64,
    freshness: Duration,
    lifetime: Option<Duration>,
}

impl RevocationSet {
    /// A set that knows nothing yet. It is fresh for `freshness` after each word from the
    /// owner, and forgets a revocation after `lifetime`: the longest that a token holds.
    /// Without one, where tokens may never expire, it forgets nothing.
    pub fn new(freshness: Duration, lifetime: Option<Duration>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            held: AtomicUsize::new(0),
            hasher: RandomState::new(),
            start: Instant::now(),
            fresh_until: AtomicU64::new(0),
            freshness,
            lifetime,
        }
    }

    /// Adds everything that the owner has revoked, and makes the set fresh. What was learned
    /// before stays: an epoch never falls.
    pub fn load(&self, revoked: impl IntoIterator<Item = (Uuid, u64)>, now: Instant) {
        for (subject, epoch) in revoked {
            self.revoke(subject, epoch, now);
        }
        self.heartbeat(now);
    }

    /// Notes that a subject's tokens of epochs before `epoch` are revoked.
    pub fn revoke(&self, subject: Uuid, epoch: u64, now: Instant) {
        let forget = self.lifetime.map(|lifetime| now + lifetime);
        let mut shard = self.shard(subject).write().unwrap_or_else(PoisonError::into_inner);
        let mut added = false;
        let entry = shard.entry(subject).or_insert_with(|| {
            added = true;
            Entry { epoch, forget }
        });
        if epoch >= entry.epoch {
            *entry = Entry { epoch, forget };
        }
        if added {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
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
            && self.held.load(Ordering::Relaxed) <= CAPACITY
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

    /// Forgets revocations whose tokens have all expired. Call it from time to time.
    pub fn forget_expired(&self, now: Instant) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            let before = shard.len();
            shard.retain(|_, entry| entry.forget.is_none_or(|forget| now < forget));
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
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn set() -> (RevocationSet, Instant) {
        let set = RevocationSet::new(Duration::from_secs(1), Some(DAY));
        let now = set.start + Duration::from_secs(100);
        (set, now)
    }

    #[test]
    fn nothing_is_known_before_the_first_load() {
        let (set, now) = set();
        let subject = Uuid::new_v4();
        assert_eq!(set.check(subject, 0, now), Standing::Unknown);
        set.load([], now);
        assert_eq!(set.check(subject, 0, now), Standing::Valid);
    }

    #[test]
    fn epochs_before_the_raised_one_are_revoked_and_it_never_falls() {
        let (set, now) = set();
        let subject = Uuid::new_v4();
        set.load([(subject, 5)], now);
        assert_eq!(set.check(subject, 4, now), Standing::Revoked);
        assert_eq!(set.check(subject, 5, now), Standing::Valid);
        set.revoke(subject, 3, now);
        assert_eq!(set.check(subject, 4, now), Standing::Revoked);
        assert_eq!(set.check(Uuid::new_v4(), 0, now), Standing::Valid);
    }

    #[test]
    fn silence_makes_it_unknown_but_a_revoked_token_stays_revoked() {
        let (set, now) = set();
        let subject = Uuid::new_v4();
        set.load([(subject, 1)], now);
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
    fn a_revocation_is_forgotten_with_its_last_token() {
        let (set, now) = set();
        let subject = Uuid::new_v4();
        set.load([(subject, 1)], now);
        set.forget_expired(now + Duration::from_hours(23));
        assert_eq!(set.len(), 1);
        set.forget_expired(now + DAY);
        assert!(set.is_empty());

        let eternal = RevocationSet::new(Duration::from_secs(1), None);
        eternal.load([(subject, 1)], now);
        eternal.forget_expired(now + DAY * 1000);
        assert_eq!(eternal.len(), 1);
    }
}
