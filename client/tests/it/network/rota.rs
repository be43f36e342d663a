//! A server with one deployment, whose links expire.

use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use serde_json::json;

use crate::{
    device::artifact,
    fake_server::{FakeServer, Request, Response},
};

/// Offers its deployment until the device reports its end.
#[derive(Clone, Default)]
pub(crate) struct Rota(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// What devices are to authenticate with.
    pub(crate) token: String,
    /// Where links lead.
    pub(crate) links: String,
    artifact: Option<Vec<u8>>,
    pub(crate) deployment: &'static str,
    /// Only the link of this number works; each poll gives the current one.
    pub(crate) link: u32,
    pub(crate) is_over: bool,
    /// Answer log uploads so, as long as there are answers left.
    pub(crate) log_answers: Vec<Response>,
}

impl Rota {
    pub(crate) fn start(&self) -> FakeServer {
        self.start_with(None)
    }

    pub(crate) fn start_with(&self, tls: Option<Arc<ServerConfig>>) -> FakeServer {
        let rota = self.clone();
        let server = FakeServer::start_with(tls, move |request| rota.answer(request));
        let mut state = self.state();
        state.links = server.url();
        state.token = format!("token-of-{}", server.url());
        state.deployment = "d1";
        server
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Offers an Artifact with this content; returns its size.
    pub(crate) fn deploy(&self, content: &str) -> usize {
        let artifact = artifact("new", content);
        let size = artifact.len();
        self.state().artifact = Some(artifact);
        size
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.state();
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        if path.ends_with("/auth_requests") {
            return Response::new(200, state.token.as_str());
        }
        if path == "/artifact" {
            return match &state.artifact {
                Some(artifact) if query == format!("link={}", state.link) => {
                    file(artifact, request)
                }
                _ => Response::new(403, "expired"),
            };
        }
        if request.header("authorization") != Some(&format!("Bearer {}", state.token)) {
            return Response::empty(401);
        }
        if path.ends_with("/deployments/next") {
            if state.artifact.is_none() || state.is_over {
                return Response::empty(204);
            }
            let uri = format!("{}/artifact?link={}", state.links, state.link);
            let body = json!({"id": state.deployment, "artifact": {"source": {"uri": uri}}});
            return Response::new(200, body.to_string());
        }
        if path.ends_with("/status") {
            let status = request.json()["status"].clone();
            state.is_over = status == "success" || status == "failure";
        }
        if path.ends_with("/log") && !state.log_answers.is_empty() {
            return state.log_answers.remove(0);
        }
        Response::empty(204)
    }
}

/// What a sound server says to a request for a file.
pub(crate) fn file(content: &[u8], request: &Request) -> Response {
    const TAG: &str = "\"one\"";
    let is_same = request.header("if-range").is_none_or(|tag| tag == TAG);
    let range = request.header("range").filter(|_| is_same);
    let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return Response::new(200, content).header("ETag", TAG);
    };
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let range = format!("bytes {first}-{last}/{}", content.len());
    Response::new(206, &content[first..=last]).header("Content-Range", range).header("ETag", TAG)
}

pub(crate) fn statuses(requests: &[Request]) -> Vec<String> {
    requests
        .iter()
        .filter(|request| request.path.ends_with("/status"))
        .map(|request| request.json()["status"].as_str().unwrap_or_default().to_owned())
        .collect()
}

pub(crate) fn has_status(requests: &[Request], status: &str) -> bool {
    statuses(requests).iter().any(|s| s == status)
}

/// The ranges of all downloads.
pub(crate) fn ranges(requests: &[Request]) -> Vec<Option<String>> {
    let downloads = requests.iter().filter(|request| request.path.starts_with("/artifact"));
    downloads.map(|request| request.header("range").map(str::to_owned)).collect()
}

/// Text that hardly shrinks, always the same for a seed.
pub(crate) fn noise(seed: u64, bytes: usize) -> String {
    let mut random = Random(seed);
    (0..bytes).map(|_| char::from(b'!' + u8::try_from(random.next() % 90).unwrap())).collect()
}

/// Numbers without a pattern (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}
