//! A server that lets every device in, has nothing for it to install, and serves files.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use axum::{
    Router,
    body::Body,
    extract::{Path as Segment, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use rota_stack::{Authority, Identity};
use tokio::{fs::File, net::TcpListener};
use tokio_util::io::ReaderStream;

use crate::bare;

/// It runs as long as the program.
pub(crate) struct Server {
    address: SocketAddr,
    identity: Identity,
    /// Files in here are served.
    files: PathBuf,
    seen: Arc<Seen>,
}

/// What devices asked for.
#[derive(Debug, Default)]
struct Seen {
    polls: AtomicUsize,
    inventories: AtomicUsize,
}

struct Shared {
    files: PathBuf,
    seen: Arc<Seen>,
}

impl Server {
    /// Serves the files in `folder`.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let identity = Authority::open(folder.join("tls"))?.issue("bench")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let shared = Shared { files: folder.to_owned(), seen: Arc::clone(&seen) };
        let acceptor = bare::acceptor(&identity.certificate, &identity.key)?;
        tokio::spawn(bare::serve_tls(listener, acceptor, routes(shared)));
        Ok(Self { address, identity, files: folder.to_owned(), seen })
    }

    /// Its address, for `mender.conf`.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The certificate (PEM) that its own is signed with.
    pub(crate) fn authority(&self) -> &Path {
        &self.identity.ca
    }

    /// The folder whose files it serves below `/files/`.
    pub(crate) fn files(&self) -> &Path {
        &self.files
    }

    /// Whether a device has asked for an update and has sent its inventory.
    pub(crate) fn was_visited(&self) -> bool {
        let at_least_once = |count: &AtomicUsize| count.load(Ordering::Relaxed) > 0;
        at_least_once(&self.seen.polls) && at_least_once(&self.seen.inventories)
    }
}

fn routes(shared: Shared) -> Router {
    let next = "/api/devices/v2/deployments/device/deployments/next";
    Router::new()
        .route("/api/devices/v1/authentication/auth_requests", post(authenticate))
        .route(next, post(nothing))
        .route("/api/devices/v1/inventory/device/attributes", any(inventory))
        .route("/files/{name}", get(file))
        .with_state(Arc::new(shared))
}

/// A token of the usual length; nobody here looks at it again.
async fn authenticate() -> String {
    format!("{}.{}.{}", "h".repeat(60), "c".repeat(400), "s".repeat(86))
}

async fn nothing(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.seen.polls.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn inventory(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.seen.inventories.fetch_add(1, Ordering::Relaxed);
    StatusCode::OK
}

async fn file(State(shared): State<Arc<Shared>>, Segment(name): Segment<String>) -> Response {
    let opened = async {
        let file = File::open(shared.files.join(name)).await?;
        let length = file.metadata().await?.len();
        std::io::Result::Ok((file, length))
    };
    match opened.await {
        Ok((file, length)) => {
            let body = Body::from_stream(ReaderStream::with_capacity(file, 256 << 10));
            ([(header::CONTENT_LENGTH, length)], body).into_response()
        }
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
