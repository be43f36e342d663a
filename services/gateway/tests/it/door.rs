//! A gateway in this process: the fakes behind it, the keys that sign its tokens, and requests
//! as strangers send them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, Response, StatusCode, header, request::Builder},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use clap::Parser;
use futures::stream::BoxStream;
use http_body_util::BodyExt;
use rota_auth::{DeviceClaims, Machine, Person, SigningKeys, UserClaims};
use rota_gateway::{Clients, Config, Gateway};
use rota_proto::trust::v1::{
    Heartbeat, Revocation, Snapshot, TrustUpdate, VerifyingKey, WatchRequest,
    trust_service_server::{TrustService, TrustServiceServer},
    trust_update::Update,
};
use rota_runtime::{
    SystemClock, Tasks,
    listen::{Limits, Peer},
    rpc::in_process,
};
use rota_types::{AuthSetId, DeviceId, Permission, SessionId, TenantId, UserId};
use serde_json::Value;
use tokio::sync::watch;
use tokio_stream::{StreamExt, wrappers::IntervalStream};
use tonic::{Status, service::Routes};
use tower::ServiceExt;
use uuid::Uuid;

use crate::fake::Fake;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway and what stands around it.
pub(crate) struct Door {
    pub(crate) gateway: Gateway,
    router: Router,
    pub(crate) deviceauth: Fake,
    pub(crate) inventory: Fake,
    pub(crate) deployments: Fake,
    pub(crate) accounts: Fake,
    pub(crate) devices: Issuer,
    pub(crate) people: Issuer,
    pub(crate) tasks: Tasks,
    /// For a listener before it.
    pub(crate) listener_limits: Limits,
}

/// One who issues tokens.
#[derive(Clone)]
pub(crate) struct Issuer {
    keys: Arc<SigningKeys>,
    state: watch::Sender<State>,
}

#[derive(Clone, Default)]
struct State {
    silent: bool,
    revoked: HashMap<Uuid, i64>,
}

/// The settings of a gateway that is told nothing else than `flags`.
pub(crate) fn config(flags: &[&str]) -> Config {
    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        config: Config,
    }
    Program::parse_from([&["gateway"], flags].concat()).config
}

impl Door {
    /// A gateway that knows whom to believe.
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// [`Door::open`] with settings.
    pub(crate) async fn open_with(flags: &[&str]) -> Self {
        let door = Self::build(flags);
        door.gateway.tasks(&door.tasks);
        door.until_ready().await;
        door
    }

    /// A gateway that has not begun to listen to anybody.
    pub(crate) fn build(flags: &[&str]) -> Self {
        let (devices, people) = (Issuer::new(), Issuer::new());
        let fakes: [Fake; 4] = Default::default();
        let [deviceauth, inventory, deployments, accounts] = fakes;
        let clients = Clients {
            deviceauth: in_process("deviceauth", devices.beside(&deviceauth)),
            inventory: in_process("inventory", inventory.routes()),
            deployments: in_process("deployments", deployments.routes()),
            accounts: in_process("accounts", people.beside(&accounts)),
        };
        let config = config(flags);
        let listener_limits = config.listener_limits();
        let gateway = Gateway::new(config, clients, Arc::new(SystemClock));
        let router = gateway.router();
        let tasks = Tasks::new();
        Self {
            gateway,
            router,
            deviceauth,
            inventory,
            deployments,
            accounts,
            devices,
            people,
            tasks,
            listener_limits,
        }
    }

    pub(crate) async fn until_ready(&self) {
        let readiness = rota_runtime::Readiness::default();
        readiness.add(self.gateway.checks());
        until(async || readiness.failures().await.is_empty()).await;
    }

    /// Sends a request from an address of the documentation.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from("192.0.2.1:5000", request).await
    }

    /// Sends a request from an address.
    pub(crate) async fn send_from(&self, peer: &str, request: Request<Body>) -> Answer {
        let mut response = self.respond(peer, request).await;
        let body = response.body_mut().collect().await.unwrap().to_bytes();
        Answer { status: response.status(), headers: response.headers().clone(), body }
    }

    /// Sends a request and leaves the answer's body unread.
    pub(crate) async fn respond(&self, peer: &str, mut request: Request<Body>) -> Response<Body> {
        let address: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(Peer { address, certificate: None });
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Sends a request with a device's token.
    pub(crate) async fn as_device(&self, request: Builder, body: impl Into<Sent>) -> Answer {
        let token = self.devices.device(&device());
        self.send(bearing(request, &token, body.into())).await
    }

    /// Sends a request with the token of a person who may do anything.
    pub(crate) async fn as_person(&self, request: Builder, body: impl Into<Sent>) -> Answer {
        let token = self.people.person(&person(Permission::Manage));
        self.send(bearing(request, &token, body.into())).await
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A body to send.
pub(crate) enum Sent {
    Nothing,
    Json(Value),
    Text(&'static str, String),
}

impl From<()> for Sent {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl From<Value> for Sent {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self::Text("application/json", text.to_owned())
    }
}

/// A request with a token and a body.
pub(crate) fn bearing(request: Builder, token: &str, body: Sent) -> Request<Body> {
    with_body(request.header(header::AUTHORIZATION, format!("Bearer {token}")), body)
}

/// A request with a body.
pub(crate) fn with_body(request: Builder, body: Sent) -> Request<Body> {
    match body {
        Sent::Nothing => request.body(Body::empty()),
        Sent::Json(value) => request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(value.to_string())),
        Sent::Text(kind, text) => request.header(header::CONTENT_TYPE, kind).body(Body::from(text)),
    }
    .unwrap()
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {} {:?}", self.status, self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The sentence of an error.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// Every value of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }
}

/// A device with a token for a day.
pub(crate) fn device() -> DeviceClaims {
    let machine = Machine {
        tenant: TenantId::mint(),
        tenant_epoch: 0,
        device: DeviceId::mint(),
        auth_set: AuthSetId::mint(),
        epoch: 1,
    };
    DeviceClaims::new(machine, Utc::now(), TimeDelta::days(1))
}

/// A person who may do this.
pub(crate) fn person(permission: Permission) -> UserClaims {
    let person = Person {
        tenant: TenantId::mint(),
        user: UserId::mint(),
        email: "a@example.com".to_owned(),
        permissions: vec![permission],
        epoch: 1,
    };
    UserClaims::new(SessionId::mint(), person, Utc::now(), None)
}

impl Issuer {
    fn new() -> Self {
        let keys = SigningKeys::from_pem(&SigningKeys::generate_pem().unwrap()).unwrap();
        Self { keys: Arc::new(keys), state: watch::Sender::new(State::default()) }
    }

    /// The trust service, and a fake for everything else.
    fn beside(&self, fake: &Fake) -> Routes {
        let trust = Routes::new(TrustServiceServer::new(self.clone())).into_axum_router();
        Routes::from(trust.fallback_service(fake.routes().into_axum_router()))
    }

    pub(crate) fn device(&self, claims: &DeviceClaims) -> String {
        self.keys.mint_device(claims)
    }

    pub(crate) fn person(&self, claims: &UserClaims) -> String {
        self.keys.mint_user(claims)
    }

    /// From now on nothing is said.
    pub(crate) fn fall_silent(&self) {
        self.state.send_modify(|state| state.silent = true);
    }

    /// From now on something is said again.
    pub(crate) fn speak(&self) {
        self.state.send_modify(|state| state.silent = false);
    }

    /// Revokes tokens of epochs before `epoch`.
    pub(crate) fn revoke(&self, subject: Uuid, epoch: i64) {
        self.state.send_modify(|state| {
            state.revoked.insert(subject, epoch);
        });
    }

    fn key(&self) -> VerifyingKey {
        let set: Value = serde_json::from_str(&self.keys.key_set().to_json()).unwrap();
        let key = &set["keys"][0];
        let raw = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
        VerifyingKey { id: key["kid"].as_str().unwrap().to_owned(), ed25519: raw }
    }
}

#[tonic::async_trait]
impl TrustService for Issuer {
    type WatchStream = BoxStream<'static, Result<TrustUpdate, Status>>;

    async fn watch(
        &self,
        _: tonic::Request<WatchRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let state = self.state.subscribe();
        if state.borrow().silent {
            return Err(Status::unavailable("silent"));
        }
        let known: Mutex<HashMap<Uuid, i64>> = Mutex::default();
        let snapshot = Snapshot { keys: vec![self.key()], revocations: Vec::new() };
        let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(20)));
        let updates = ticks.filter_map(move |_| {
            let state = state.borrow();
            if state.silent {
                return None;
            }
            let mut known = known.lock().unwrap();
            let news = state.revoked.iter().find(|(id, epoch)| known.get(id) != Some(epoch));
            Some(match news {
                Some((id, epoch)) => {
                    known.insert(*id, *epoch);
                    let subject = id.to_string();
                    Update::Revocation(Revocation { subject, epoch: *epoch, expires_at: i64::MAX })
                }
                None => Update::Heartbeat(Heartbeat {}),
            })
        });
        let updates = tokio_stream::once(Update::Snapshot(snapshot)).chain(updates);
        let updates = updates.map(|update| Ok(TrustUpdate { update: Some(update) }));
        Ok(tonic::Response::new(Box::pin(updates)))
    }
}

/// Waits for a condition.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("the condition never came true");
}
