//! How often one address may ask for a token.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use axum::http::Extensions;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use rota_runtime::Tasks;

use crate::{config::Config, edge::Arrival, error::Problem, metrics};

/// How often addresses that were not seen lately are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// The limits on addresses. They hold for this gateway; several of them allow as many times more.
pub(crate) struct AddressLimits {
    auth_requests: Limit,
    sign_ins: Limit,
}

impl AddressLimits {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            auth_requests: Limit::new(
                "auth_requests",
                config.auth_requests_per_second,
                config.auth_requests_burst,
            ),
            sign_ins: Limit::new("sign_ins", config.sign_ins_per_second, config.sign_ins_burst),
        }
    }

    /// Counts a device's authentication request.
    pub(crate) fn auth_request(&self, extensions: &Extensions) -> Result<(), Problem> {
        self.auth_requests.count(extensions)
    }

    /// Counts a person's sign-in.
    pub(crate) fn sign_in(&self, extensions: &Extensions) -> Result<(), Problem> {
        self.sign_ins.count(extensions)
    }

    /// Forgets addresses that were not seen lately, from time to time.
    pub(crate) fn spawn_upkeep(limits: impl AsRef<Self> + Clone + Send + 'static, tasks: &Tasks) {
        tasks.spawn_every("address limits", FORGET_INTERVAL, move || {
            let limits = limits.clone();
            async move {
                for limit in [&limits.as_ref().auth_requests, &limits.as_ref().sign_ins] {
                    limit.addresses.retain_recent();
                }
            }
        });
    }
}

struct Limit {
    name: &'static str,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
}

impl Limit {
    fn new(name: &'static str, per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self { name, addresses: RateLimiter::keyed(quota) }
    }

    fn count(&self, extensions: &Extensions) -> Result<(), Problem> {
        // Without an address the request comes from within this process.
        let Some(address) = Arrival::of(extensions).and_then(|arrival| arrival.address) else {
            return Ok(());
        };
        self.addresses.check_key(&address.for_limits()).map_err(|until| {
            metrics::limited(self.name);
            Problem::too_many(until.wait_time_from(self.addresses.clock().now()))
        })
    }
}
