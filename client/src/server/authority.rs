//! The device's token: got by one at a time, shared by all who need it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rota_rest::device::AuthRequest;
use ureq::http::Method;

use super::{
    ServerError, SessionSettings,
    http::{Circumstances, Http, REQUEST},
    session::{JSON, encode},
};
use crate::{
    identity::identity,
    keys,
    log::{Log, chain},
    wake::Wake,
};

const AUTHENTICATION: &str = "/api/devices/v1/authentication/auth_requests";

const BEARER: &str = "Bearer ";

/// What a server gave this device.
#[derive(Clone)]
pub struct Token {
    /// Without a slash at the end.
    pub server: Arc<str>,
    /// The header `Authorization` of requests with this token.
    pub(super) bearer: Arc<str>,
    /// Counts the tokens of this process.
    pub(super) number: u64,
}

#[cfg(feature = "dbus")]
impl Token {
    /// The bare token.
    pub fn text(&self) -> &str {
        self.bearer.strip_prefix(BEARER).unwrap_or_default()
    }

    /// Counts the tokens of this process, from 1 on.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Gets tokens and keeps the newest. Clones share it.
#[derive(Clone)]
pub struct Authority(Arc<Shared>);

struct Shared {
    settings: SessionSettings,
    wake: Wake,
    log: Log,
    state: Mutex<State>,
    /// Held while a server is asked, so that all who need a token wait for the same one.
    asking: Mutex<()>,
    #[cfg(feature = "dbus")]
    listeners: Mutex<Vec<Listener>>,
}

/// Told of each new token, or that there is none.
#[cfg(feature = "dbus")]
pub(super) type Listener = Box<dyn Fn(Option<&Token>) + Send + Sync>;

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// How many times servers were asked.
    asked: u64,
    /// Made with the first request: certificates that cannot be read must not keep the client from
    /// rolling back the update that broke them.
    http: Option<Http>,
    /// Servers that asked to be left alone.
    busy: BTreeMap<String, Busy>,
}

struct Busy {
    status: u16,
    until: Instant,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority").field(&self.state().token).finish()
    }
}

impl Authority {
    pub fn new(settings: SessionSettings, wake: Wake, log: Log) -> Self {
        let (state, asking) = <(Mutex<State>, Mutex<()>)>::default();
        Self(Arc::new(Shared {
            settings,
            wake,
            log,
            state,
            asking,
            #[cfg(feature = "dbus")]
            listeners: Mutex::default(),
        }))
    }

    /// The token in use; `None` while the device has none.
    pub fn current(&self) -> Option<Token> {
        self.state().token.clone()
    }

    /// The token in use, or a new one.
    pub(super) fn token(&self) -> Result<Token, ServerError> {
        self.current().map_or_else(|| self.authenticate(), Ok)
    }

    /// Gets a token from the first server that gives one. Who comes while servers are being asked
    /// waits for that outcome.
    pub fn authenticate(&self) -> Result<Token, ServerError> {
        let asked_before = self.state().asked;
        let _one_at_a_time = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if let Some(token) = state.token.as_ref().filter(|_| state.asked != asked_before) {
            return Ok(token.clone());
        }
        drop(state);
        // Certificates may have been renewed.
        self.state().http = None;
        let outcome = self.ask();
        let mut state = self.state();
        state.asked += 1;
        let number = state.asked;
        let outcome = outcome.map(|(server, bearer)| Token { server, bearer, number });
        state.token = outcome.as_ref().ok().cloned();
        drop(state);
        #[cfg(feature = "dbus")]
        self.tell(outcome.as_ref().ok());
        outcome
    }

    /// Has `listener` called whenever servers were asked for a token; it must be quick.
    #[cfg(feature = "dbus")]
    pub fn on_asked(&self, listener: impl Fn(Option<&Token>) + Send + Sync + 'static) {
        let listener: Listener = Box::new(listener);
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    #[cfg(feature = "dbus")]
    fn tell(&self, token: Option<&Token>) {
        let listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter() {
            listener(token);
        }
    }

    /// Forgets the token. Certificates are read anew as well, in case they were renewed.
    pub fn forget(&self) {
        let mut state = self.state();
        (state.token, state.http) = (None, None);
    }

    /// Forgets this token; one that came since stays.
    pub(super) fn reject(&self, token: &Token) {
        if self.current().is_some_and(|current| current.number == token.number) {
            self.forget();
        }
    }

    pub(super) fn http(&self) -> Result<Http, ServerError> {
        if let Some(http) = &self.state().http {
            return Ok(http.clone());
        }
        // A key may lie in a slow token; nobody is to wait for that who only wants to look.
        let http = Http::new(&self.circumstances())?;
        Ok(self.state().http.insert(http).clone())
    }

    pub(super) fn circumstances(&self) -> Circumstances {
        let Shared { settings, wake, log, .. } = &*self.0;
        Circumstances {
            trust: settings.trust.clone(),
            silence: settings.connection_timeout,
            request: REQUEST,
            time: settings.time.clone(),
            wake: wake.clone(),
            log: log.clone(),
        }
    }

    pub(super) fn settings(&self) -> &SessionSettings {
        &self.0.settings
    }

    fn ask(&self) -> Result<(Arc<str>, Arc<str>), ServerError> {
        let Shared { settings, wake, log, .. } = &*self.0;
        let key = if settings.is_key_static {
            keys::load(&settings.device_key, log)?
        } else {
            keys::load_or_create(&settings.device_key, log)?
        };
        let request = AuthRequest {
            id_data: identity(&settings.identity_script, wake, log)?,
            pubkey: key.public_pem(),
            tenant_token: settings.tenant_token.clone(),
            tier: Some(settings.device_tier.clone()),
        };
        let body = encode("authentication", &request)?;
        let signature = STANDARD.encode(key.sign(&body)?);
        let http = self.http()?;
        let mut obstacle = None;
        for server in &settings.servers {
            // The lock must be free again before the server is asked.
            let busy = self.state().busy.get(server).and_then(Busy::error);
            let error = match busy {
                Some(error) => error,
                None => match ask_for_token(&http, server, &signature, &body) {
                    Ok(bearer) => {
                        log.info(format_args!("authenticated at {server}"));
                        return Ok((server.as_str().into(), bearer.into()));
                    }
                    Err(error) => {
                        log.warning(format_args!("not authenticated: {}", chain(&error)));
                        self.note(server, &error);
                        error
                    }
                },
            };
            obstacle = Some(match obstacle {
                Some(before) => the_sooner(before, error),
                None => error,
            });
            wake.check()?;
        }
        Err(obstacle.unwrap_or(ServerError::NoServer))
    }

    /// A server that asked for a pause is left alone for so long.
    fn note(&self, server: &str, error: &ServerError) {
        let busy = &mut self.state().busy;
        match *error {
            ServerError::Busy { status, retry_after: Some(wait) } => {
                busy.insert(server.to_owned(), Busy { status, until: Instant::now() + wait });
            }
            _ => {
                busy.remove(server);
            }
        }
    }

    /// Whatever happened to its last owner, each part of the state is sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Busy {
    /// `None` when the time is over.
    fn error(&self) -> Option<ServerError> {
        let left = self.until.saturating_duration_since(Instant::now());
        let error = ServerError::Busy { status: self.status, retry_after: Some(left) };
        (!left.is_zero()).then_some(error)
    }
}

/// Of two servers' obstacles, the one that lets the client come again sooner: where one server asks
/// for a long pause, the other may be back before.
fn the_sooner(one: ServerError, other: ServerError) -> ServerError {
    match (one.retry_after(), other.retry_after()) {
        (None, Some(_)) => one,
        (Some(wait), Some(other_wait)) if wait <= other_wait => one,
        _ => other,
    }
}

/// Longer than any token, and shorter than what servers take as a header.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// What an answer holds, if that can be a token: a page that somebody on the way sends instead
/// could be sent in no header, so that no server would ever refuse it.
fn token(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_token = (1..=MAX_TOKEN_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then_some(text)
}

fn ask_for_token(
    http: &Http,
    server: &str,
    signature: &str,
    body: &[u8],
) -> Result<String, ServerError> {
    let headers = [
        ("X-MEN-Signature", signature),
        ("Authorization", "API_KEY"),
        ("Content-Type", JSON),
        ("Accept", JSON),
    ];
    let url = format!("{server}{AUTHENTICATION}");
    let answer = http.request(&Method::POST, &url, &headers, body)?;
    match answer.status {
        200 => match token(&answer.body) {
            Some(token) => Ok(format!("{BEARER}{token}")),
            None => Err(ServerError::Malformed {
                what: "the authentication",
                problem: format!("what {server} sent is no token"),
            }),
        },
        401 => {
            Err(ServerError::Unauthorized { reason: format!("{server} has not accepted it (yet)") })
        }
        _ => Err(answer.refusal("the authentication")),
    }
}
