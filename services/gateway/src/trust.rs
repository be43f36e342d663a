//! Which tokens to believe, kept fresh by streams from those who issue them.
//!
//! deviceauth and accounts each tell their keys, what they revoked, and several times a second
//! that nothing else has changed. As long as that is heard, a token is judged without asking
//! anybody; when it is not, nobody can say, and a request is told to come again. Any replica
//! of an issuer knows everything, so that one stream to one of them is enough.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use rota_auth::{
    DeviceClaims, KeySet, RevocationSet, Standing, TokenError, TokenVerifier, UserClaims,
};
use rota_proto::trust::v1::{
    Revocation, Snapshot, TrustUpdate, VerifyingKey, WatchRequest,
    trust_service_client::TrustServiceClient, trust_update::Update,
};
use rota_runtime::{Check, Clock, Rpc, Tasks, with_caller};
use rota_types::{Caller, TenantId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use uuid::Uuid;

use crate::metrics;

/// How long what was heard last is relied on.
const FRESHNESS: Duration = Duration::from_secs(1);

/// A stream that is silent for so long is given up for another, while what it said is still
/// fresh.
const SILENCE: Duration = Duration::from_millis(600);

/// How long a request waits for news that are late, as they are where every core is taken. To
/// wait costs less than to come again with a handshake.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause before a stream is opened again is random up to this.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);

/// How often revocations of tokens that have all expired are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// How long the statement holds that it is a gateway that listens.
const LIFETIME: TimeDelta = TimeDelta::minutes(1);

/// The streams of both issuers.
pub(crate) struct Trust {
    devices: Issuer<DeviceClaims>,
    people: Issuer<UserClaims>,
}

impl Trust {
    pub(crate) fn new(deviceauth: Rpc, accounts: Rpc) -> Self {
        Self { devices: Issuer::new(deviceauth), people: Issuer::new(accounts) }
    }

    /// Waits until devices' tokens can be judged, but not for long.
    pub(crate) async fn settle_devices(&self) {
        tokio::join!(self.devices.settle(), self.people.settle());
    }

    /// Waits until people's tokens can be judged, but not for long.
    pub(crate) async fn settle_people(&self) {
        self.people.settle().await;
    }

    /// What a device's token says, if it opens anything. Whether its tenant is suspended is
    /// known to accounts, which issue people's tokens.
    pub(crate) fn judge_device(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<DeviceClaims>, Refusal> {
        let claims = self.devices.judge(token, now)?;
        self.people.admit(claims.tenant.uuid(), claims.tenant_epoch)?;
        Ok(claims)
    }

    /// What a person's token says, if it opens anything.
    pub(crate) fn judge_person(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<UserClaims>, Refusal> {
        self.people.judge(token, now)
    }

    /// Listens to both issuers until stopped, and forgets what has no token left to refuse.
    pub(crate) fn spawn(self: &Arc<Self>, clock: &Arc<dyn Clock>, tasks: &Tasks) {
        let (trust, stop) = (Arc::clone(self), tasks.token());
        tasks.spawn("device trust", async move { trust.devices.watch(stop).await });
        let (trust, stop) = (Arc::clone(self), tasks.token());
        tasks.spawn("user trust", async move { trust.people.watch(stop).await });
        let (trust, clock) = (Arc::clone(self), Arc::clone(clock));
        tasks.spawn_every("revocations", FORGET_INTERVAL, move || {
            trust.forget_expired(clock.now());
            std::future::ready(())
        });
    }

    /// Forgets revocations of tokens that have all expired.
    fn forget_expired(&self, now: DateTime<Utc>) {
        self.devices.revoked.forget_expired(now);
        self.people.revoked.forget_expired(now);
    }

    /// Ready are those who know whom to believe.
    pub(crate) fn check(self: &Arc<Self>) -> Check {
        let trust = Arc::clone(self);
        Check::new("trust", move || {
            let trust = Arc::clone(&trust);
            async move {
                match (trust.devices.is_fresh(), trust.people.is_fresh()) {
                    (true, true) => Ok(()),
                    (false, _) => Err("nothing is heard from deviceauth".to_owned()),
                    (_, false) => Err("nothing is heard from accounts".to_owned()),
                }
            }
        })
    }
}

/// Claims, and what is said to whoever shows none.
pub(crate) trait Issued: rota_auth::Claims {
    /// The value of `WWW-Authenticate`.
    const CHALLENGE: &'static str;
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;
    /// The token's id and epoch, by which it is revoked.
    fn revocable(&self) -> (Uuid, u64);
}

impl Issued for DeviceClaims {
    const CHALLENGE: &'static str = r#"Bearer realm="DeviceJWT""#;
    const KIND: &'static str = "device";

    fn revocable(&self) -> (Uuid, u64) {
        (self.auth_set.uuid(), self.epoch)
    }
}

impl Issued for UserClaims {
    const CHALLENGE: &'static str = r#"Bearer realm="ManagementJWT""#;
    const KIND: &'static str = "user";

    fn revocable(&self) -> (Uuid, u64) {
        (self.session.uuid(), self.epoch)
    }
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It proves nothing.
    Invalid(TokenError),
    /// It was withdrawn.
    Revoked,
    /// Nobody can say at the moment.
    Unknown,
}

/// One who issues tokens, as far as is known here.
struct Issuer<C> {
    client: TrustServiceClient<Rpc>,
    verifier: TokenVerifier<C>,
    revoked: RevocationSet,
    heard: Notify,
}

impl<C: Issued> Issuer<C> {
    fn new(rpc: Rpc) -> Self {
        let client = TrustServiceClient::new(rpc);
        let revoked = RevocationSet::new(FRESHNESS);
        Self { client, verifier: TokenVerifier::new(), revoked, heard: Notify::new() }
    }

    /// Waits until tokens can be judged, but not for long.
    async fn settle(&self) {
        let heard = self.heard.notified();
        if !self.is_fresh() {
            // Whether it came to anything shows when a token is judged.
            let _ = tokio::time::timeout(PATIENCE, heard).await;
        }
    }

    /// What a token says, if it opens anything.
    fn judge(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<C>, Refusal> {
        match self.verifier.verify(token, now) {
            Ok(claims) => {
                let (subject, epoch) = claims.revocable();
                self.admit(subject, epoch)?;
                Ok(claims)
            }
            // The key may be one that was not heard of yet.
            Err(TokenError::UnknownKey) if !self.is_fresh() => Err(Self::undecided()),
            Err(error) => Err(Refusal::Invalid(error)),
        }
    }

    /// Refuses what carries a past epoch of `subject`.
    fn admit(&self, subject: Uuid, epoch: u64) -> Result<(), Refusal> {
        match self.revoked.check(subject, epoch, Instant::now()) {
            Standing::Valid => Ok(()),
            Standing::Revoked => Err(Refusal::Revoked),
            Standing::Unknown => Err(Self::undecided()),
        }
    }

    fn undecided() -> Refusal {
        metrics::undecided(C::KIND);
        Refusal::Unknown
    }

    fn is_fresh(&self) -> bool {
        self.verifier.has_keys() && self.revoked.is_fresh(Instant::now())
    }

    async fn watch(&self, stop: CancellationToken) {
        let mut told = None;
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.listen(&mut told) => ended,
            };
            if !self.is_fresh() && told.replace(false) != Some(false) {
                metrics::trust_fresh(C::KIND, false);
                tracing::warn!(kind = C::KIND, reason = ended, "tokens cannot be judged now");
            }
            let pause = RECONNECT_PAUSE.mul_f64(rand::random_range(0.1..1.0));
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
        }
    }

    /// Follows one stream to its end, and says how it ended. `told` is what was told last of
    /// whether tokens can be judged.
    async fn listen(&self, told: &mut Option<bool>) -> String {
        let caller = Caller::service("gateway", TenantId(Uuid::nil()), Utc::now() + LIFETIME);
        let request = with_caller(Request::new(WatchRequest {}), &caller);
        let mut client = self.client.clone();
        let mut stream = match tokio::time::timeout(SILENCE, client.watch(request)).await {
            Ok(Ok(stream)) => stream.into_inner(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) => return "no answer".to_owned(),
        };
        let mut loaded = false;
        loop {
            let update = match tokio::time::timeout(SILENCE, stream.message()).await {
                Ok(Ok(Some(TrustUpdate { update: Some(update) }))) => update,
                Ok(Ok(Some(TrustUpdate { update: None }))) => continue,
                Ok(Ok(None)) => return "the stream ended".to_owned(),
                Ok(Err(status)) => return status.message().to_owned(),
                Err(_) => return "the stream fell silent".to_owned(),
            };
            let understood = match update {
                Update::Snapshot(snapshot) => {
                    loaded = self.load(snapshot);
                    loaded
                }
                Update::Revocation(revocation) => self.revoke(&revocation),
                Update::Heartbeat(_) => {
                    if loaded {
                        self.hear(told);
                    }
                    true
                }
            };
            if !understood {
                return "an update cannot be read".to_owned();
            }
        }
    }

    /// Takes in what is known so far. It is complete with the next heartbeat: what is too long
    /// for one message goes on as revocations.
    fn load(&self, snapshot: Snapshot) -> bool {
        let keys: Option<Vec<_>> = snapshot.keys.into_iter().map(key).collect();
        let Some(keys) = keys else { return false };
        self.verifier.set_keys(KeySet::new(keys));
        snapshot.revocations.iter().all(|revocation| self.revoke(revocation))
    }

    fn revoke(&self, revocation: &Revocation) -> bool {
        let id = revocation.subject.parse().ok();
        let Some((id, epoch)) = id.zip(u64::try_from(revocation.epoch).ok()) else { return false };
        self.revoked.revoke(id, epoch, revocation.expires_at);
        true
    }

    fn hear(&self, told: &mut Option<bool>) {
        self.revoked.heartbeat(Instant::now());
        self.heard.notify_waiters();
        if told.replace(true) != Some(true) {
            metrics::trust_fresh(C::KIND, true);
            tracing::info!(kind = C::KIND, "tokens can be judged");
        }
    }
}

fn key(key: VerifyingKey) -> Option<(String, [u8; 32])> {
    Some((key.id, key.ed25519.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use rota_runtime::rpc::in_process;
    use tonic::service::Routes;

    use super::*;

    #[test]
    fn what_is_revoked_is_remembered_until_the_issuer_says_that_its_tokens_have_expired() {
        let nobody = || in_process("nobody", Routes::default());
        let trust = Trust::new(nobody(), nobody());
        let subject = Uuid::new_v4().to_string();
        let revocation = Revocation { subject, epoch: 1, expires_at: 1_800_000_000 };
        assert!(trust.devices.revoke(&revocation) && trust.people.revoke(&revocation));
        let end = DateTime::from_timestamp(revocation.expires_at, 0).unwrap();
        trust.forget_expired(end - TimeDelta::seconds(1));
        assert_eq!((trust.devices.revoked.len(), trust.people.revoked.len()), (1, 1));
        trust.forget_expired(end);
        assert!(trust.devices.revoked.is_empty() && trust.people.revoked.is_empty());
    }
}
