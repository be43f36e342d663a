//! Places for the uploads that one process takes at the same time, shared among tenants.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rota_types::TenantId;

/// The places. One tenant has half of them at the most: an upload may take a day, and nobody's
/// slow ones shall keep all others out.
#[derive(Debug)]
pub(crate) struct UploadPlaces {
    places: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    /// Without those that have none.
    by_tenant: HashMap<TenantId, u32>,
}

/// A place, free again when dropped.
#[derive(Debug)]
pub(crate) struct UploadPlace {
    places: Arc<UploadPlaces>,
    tenant: TenantId,
}

impl UploadPlaces {
    pub(crate) fn new(places: u32) -> Self {
        Self { places, taken: Mutex::default() }
    }

    /// A place for an upload of the tenant, if there is one.
    pub(crate) fn take(self: &Arc<Self>, tenant: TenantId) -> Option<UploadPlace> {
        let mut taken = self.taken();
        let own = taken.by_tenant.get(&tenant).copied().unwrap_or(0);
        if taken.all >= self.places || own >= self.places.div_ceil(2) {
            return None;
        }
        taken.all += 1;
        taken.by_tenant.insert(tenant, own + 1);
        Some(UploadPlace { places: Arc::clone(self), tenant })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(own) = taken.by_tenant.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                taken.by_tenant.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_half_of_the_places_and_all_tenants_have_all() {
        let places = Arc::new(UploadPlaces::new(3));
        let (one, other) = (TenantId::mint(), TenantId::mint());
        let first = places.take(one);
        let second = places.take(one);
        assert!(first.is_some() && second.is_some() && places.take(one).is_none());
        let third = places.take(other);
        assert!(third.is_some() && places.take(other).is_none());
        drop(first);
        assert!(places.take(one).is_some() && places.take(other).is_some());
        drop((second, third));
        assert!(places.taken().by_tenant.is_empty());
        assert_eq!(places.taken().all, 0);
    }
}
