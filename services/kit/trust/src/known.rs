//! What this replica knows, and the news of it to those who watch.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use rota_proto::trust::v1::{Revocation, VerifyingKey};
use rota_types::TokenId;
use tokio::sync::broadcast;

/// How far a watcher may fall behind before it is sent everything anew.
const BACKLOG: usize = 4096;

/// Below `epoch`, tokens of a subject are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) subject: TokenId,
    pub(crate) epoch: i64,
    /// Seconds since 1970.
    pub(crate) expires_at: i64,
}

/// What a watcher is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum News {
    /// One more revocation.
    Revoked(Revoked),
    /// Everything told before still holds, and nothing is missing.
    Alive,
    /// Something else changed: ask for everything.
    Anew,
    /// This replica does not know any more.
    Lost,
}

/// All that is known at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Everything {
    pub(crate) keys: Vec<VerifyingKey>,
    pub(crate) revocations: Vec<Revocation>,
}

#[derive(Debug)]
pub(crate) struct Known {
    state: Mutex<State>,
    news: broadcast::Sender<News>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the rest can be relied on.
    current: bool,
    keys: Vec<VerifyingKey>,
    revocations: HashMap<TokenId, Revoked>,
}

impl From<Revoked> for Revocation {
    fn from(revoked: Revoked) -> Self {
        Self {
            subject: revoked.subject.to_string(),
            epoch: revoked.epoch,
            expires_at: revoked.expires_at,
        }
    }
}

impl Known {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), news: broadcast::channel(BACKLOG).0 }
    }

    /// Everything, and the news from then on; `None` while this replica does not know.
    pub(crate) fn watch(&self) -> Option<(Everything, broadcast::Receiver<News>)> {
        let state = self.state();
        state.current.then(|| (state.everything(), self.news.subscribe()))
    }

    /// Everything as it is now; `None` while this replica does not know.
    pub(crate) fn everything(&self) -> Option<Everything> {
        let state = self.state();
        state.current.then(|| state.everything())
    }

    /// Holds what was just read from the database instead of what was held before.
    pub(crate) fn renew(&self, keys: Vec<VerifyingKey>, revocations: Vec<Revoked>) {
        let mut state = self.state();
        state.keys = keys;
        state.revocations = revocations.into_iter().map(|it| (it.subject, it)).collect();
        state.current = true;
        self.tell(News::Anew);
    }

    /// Takes a revocation in. One that is held already with this epoch is no news.
    pub(crate) fn revoke(&self, revoked: Revoked) {
        let mut state = self.state();
        let held = state.revocations.get(&revoked.subject).copied();
        if held.is_some_and(|held| held.epoch >= revoked.epoch) {
            return;
        }
        state.revocations.insert(revoked.subject, revoked);
        self.tell(News::Revoked(revoked));
    }

    /// Tells the watchers that nothing is missing.
    pub(crate) fn alive(&self) {
        if self.state().current {
            self.tell(News::Alive);
        }
    }

    /// From now on this replica does not know. Watchers hear nothing until it does again.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        if std::mem::take(&mut state.current) {
            self.tell(News::Lost);
        }
    }

    /// Forgets revocations of tokens that have ended.
    pub(crate) fn forget_expired(&self, now: DateTime<Utc>) {
        let now = now.timestamp();
        self.state().revocations.retain(|_, revoked| revoked.expires_at > now);
    }

    /// News are told while the state is held, so that a watcher never misses what happens
    /// between its snapshot and its first news. That nobody listens is no failure.
    fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn everything(&self) -> Everything {
        Everything {
            keys: self.keys.clone(),
            revocations: self.revocations.values().copied().map(Revocation::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revoked(subject: TokenId, epoch: i64) -> Revoked {
        Revoked { subject, epoch, expires_at: 1_000 }
    }

    #[test]
    fn who_does_not_know_says_nothing() {
        let known = Known::new();
        assert!(known.watch().is_none());
        known.renew(Vec::new(), Vec::new());
        let (_, mut news) = known.watch().unwrap();
        known.alive();
        assert!(matches!(news.try_recv(), Ok(News::Alive)));
        known.lose();
        assert!(matches!(news.try_recv(), Ok(News::Lost)));
        known.alive();
        assert!(news.try_recv().is_err());
        assert!(known.everything().is_none());
    }

    #[test]
    fn only_a_larger_epoch_is_news() {
        let known = Known::new();
        let subject = TokenId::mint();
        known.renew(Vec::new(), vec![revoked(subject, 2)]);
        let (everything, mut news) = known.watch().unwrap();
        assert_eq!(everything.revocations[0].epoch, 2);
        known.revoke(revoked(subject, 2));
        known.revoke(revoked(subject, 1));
        assert!(news.try_recv().is_err());
        known.revoke(revoked(subject, 3));
        assert!(matches!(news.try_recv(), Ok(News::Revoked(Revoked { epoch: 3, .. }))));
    }

    #[test]
    fn revocations_end_with_the_tokens() {
        let known = Known::new();
        known.renew(Vec::new(), vec![revoked(TokenId::mint(), 1)]);
        known.forget_expired(DateTime::from_timestamp(999, 0).unwrap());
        assert_eq!(known.everything().unwrap().revocations.len(), 1);
        known.forget_expired(DateTime::from_timestamp(1_000, 0).unwrap());
        assert!(known.everything().unwrap().revocations.is_empty());
    }
}
