//! Which tenants have an active deployment, in memory, so that a device of any other is told
//! that there is nothing to do without a query.
//!
//! Postgres announces new ones; what is announced while everything is read anew counts on top.
//! Where nothing is known, every tenant may have one, and the database is asked.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use rota_types::TenantId;

/// The set, or that it is not known.
#[derive(Debug, Default)]
pub(crate) struct ActiveTenants(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    /// `false`: something may have been missed.
    known: bool,
    /// Grows with each announcement.
    announced: u64,
    /// Each tenant with the number of its last announcement.
    tenants: HashMap<TenantId, u64>,
}

/// The moment before everything was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark(u64);

impl ActiveTenants {
    /// Whether the tenant may have an active deployment.
    pub(crate) fn may_include(&self, tenant: TenantId) -> bool {
        let state = self.read();
        !state.known || state.tenants.contains_key(&tenant)
    }

    /// Whether the set is known.
    pub(crate) fn is_known(&self) -> bool {
        self.read().known
    }

    /// The tenant got an active deployment.
    pub(crate) fn announce(&self, tenant: TenantId) {
        let mut state = self.write();
        state.announced += 1;
        let number = state.announced;
        state.tenants.insert(tenant, number);
    }

    /// Announcements may be missed from now on.
    pub(crate) fn lose(&self) {
        self.write().known = false;
    }

    /// To be taken before everything is read.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.read().announced)
    }

    /// Everything was read after `mark`, while announcements were heard.
    pub(crate) fn replace(&self, mark: Mark, tenants: impl IntoIterator<Item = TenantId>) {
        let mut state = self.write();
        state.tenants.retain(|_, number| *number > mark.0);
        for tenant in tenants {
            state.tenants.entry(tenant).or_insert(mark.0);
        }
        state.known = true;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_means_maybe() {
        let (one, other) = (TenantId::mint(), TenantId::mint());
        let active = ActiveTenants::default();
        assert!(active.may_include(one));
        active.replace(active.mark(), [one]);
        assert!(active.may_include(one) && !active.may_include(other));
        active.lose();
        assert!(active.may_include(other));
    }

    #[test]
    fn what_is_announced_while_reading_stays() {
        let (early, late) = (TenantId::mint(), TenantId::mint());
        let active = ActiveTenants::default();
        active.announce(early);
        let mark = active.mark();
        active.announce(late);
        active.replace(mark, []);
        assert!(!active.may_include(early), "finished before the reading");
        assert!(active.may_include(late), "may have begun after the reading");
        active.replace(active.mark(), []);
        assert!(!active.may_include(late));
    }
}
